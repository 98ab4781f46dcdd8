// SPDX-License-Identifier: AGPL-3.0-or-later
import { hostname } from "node:os";
import { protocolVersion } from "../bridge/limits.js";
import { createLogger, type Level, type Logger } from "../common/log.js";
import { type Command, socketOf, text, type Values } from "./options.js";
import { ServiceManager } from "./service-manager.js";
import { version } from "./version.js";

/** How long a stop may take before the process ends regardless, in milliseconds. */
const hardStopMs = 30_000;

export const serve: Command = {
  name: "serve",
  operands: "[--socket PATH]",
  summary: "Run the service of this node.",
  details:
    "Under systemd's socket activation the socket is inherited, and --socket only\nsays where requests under way are remembered.",
  options: {
    socket: { type: "string", value: "PATH", help: "listen here (default /run/pve-blockio/bridge.sock)" },
    "log-level": { type: "string", value: "LEVEL", help: "error, warn, info (default) or debug" },
    node: { type: "string", value: "NAME", help: "name of this node (default: the host name)" },
  },
  async run(values) {
    // Only the service pays for loading the service: streams and other commands start without it.
    const { Bridge, RequestJournal, Storages } = await import("./service.js");
    const level = (text(values, "log-level") ?? process.env["PVE_BLOCKIO_LOG"] ?? "info") as Level;
    const log = createLogger({ level, journal: process.env["JOURNAL_STREAM"] !== undefined });
    const host = { name: text(values, "node") ?? hostname().split(".")[0] ?? "localhost" };
    const storages = new Storages(host, new RequestJournal(journalDirectory(values)));
    const bridge = new Bridge({ storages, version, log });
    process.on("uncaughtException", (error) => {
      log.error("defect: uncaught exception, ending; systemd starts the service again", { error });
      process.exit(1);
    });
    process.on("unhandledRejection", (error) => log.error("defect: unhandled rejection", { error }));
    const stopped = new Promise<void>((resolve) => {
      for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
    });
    if (passedSocket()) await bridge.listenPassed();
    else await bridge.listen(socketOf(values));
    const manager = new ServiceManager(log);
    manager.ready(`serving as node ${host.name}, version ${version}`);
    log.info("serving", { version, node: host.name, pid: process.pid });
    const telling = tellCluster(host.name, log);
    await stopped;
    clearInterval(telling);
    log.info("stopping");
    manager.stopping();
    setTimeout(() => process.exit(1), hardStopMs).unref();
    await bridge.stop();
    await storages.close();
    log.info("stopped");
    return 0;
  },
};

/** How often this node's version is written down where the other nodes see it, until that works; in milliseconds. */
const tellMs = 10 * 60 * 1000;

/** Tells the other nodes which version runs here: at once, and again as long as the cluster has no quorum. */
function tellCluster(node: string, log: Logger): NodeJS.Timeout {
  const tell = async () => {
    const { initiatorName, writeNodeRecord } = await import("./service.js");
    const initiator = await initiatorName();
    const record = { version, protocol: protocolVersion, ...(initiator === undefined ? {} : { initiator }) };
    await writeNodeRecord(node, record);
    clearInterval(timer);
  };
  const attempt = () =>
    void tell().catch((error: unknown) =>
      log.debug("the cluster was not told of this node's version", { error }),
    );
  const timer = setInterval(attempt, tellMs).unref();
  attempt();
  return timer;
}

/** Requests under way are remembered beside the socket, so that services on other sockets have their own. */
function journalDirectory(values: Values): string {
  return `${socketOf(values)}.requests`;
}

/** Whether systemd passed exactly one socket to this very process. */
function passedSocket(): boolean {
  return process.env["LISTEN_FDS"] === "1" && process.env["LISTEN_PID"] === String(process.pid);
}
