// SPDX-License-Identifier: AGPL-3.0-or-later
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
import { codeOf, fail } from "../common/errors.js";
import { KeyedLocks } from "../common/locks.js";
import { type Finished, findProgram, run } from "../common/process.js";
import type { Bytes } from "../common/size.js";
import { waitUntil } from "../common/wait.js";
import type { Connector } from "./connector.js";
import type { DeviceLayer, NvmeController, NvmeNamespace } from "./device-layer.js";
import { linksTo, removeLink, setLink } from "./link.js";
import { formatPortal, type Portal, parsePortal } from "./portal.js";

type Nvme = Extract<Connection, { kind: "nvme-tcp" }>;

const defaultPort = 4420;
/** Limits of single steps, in milliseconds. */
const limits = {
  module: 10_000,
  connect: 15_000,
  disconnect: 30_000,
  rescan: 10_000,
  appear: 15_000,
  flush: 20_000,
};

/** Volumes that are namespaces of NVMe subsystems over TCP; the kernel's own multipath makes one device of all paths. */
export class NvmeTcpConnector implements Connector {
  readonly #locks = new KeyedLocks();

  /** `links` is the directory of all links, so that a subsystem is left when no volume of it has one. */
  constructor(
    private readonly layer: DeviceLayer,
    private readonly links: string,
    private readonly root = "/",
  ) {}

  path(_connection: Connection, link: string): string {
    return link;
  }

  connect(ctx: Context, connection: Connection, link: string): Promise<string> {
    return this.#locked(ctx, connection, async (nvme) => {
      const controllers = await this.#connectAll(ctx, nvme);
      let found = await this.#namespace(nvme);
      if (!found) {
        // The kernel gives the name of a disk that went away to the next one.
        await removeLink(link);
        await this.#rescan(ctx, controllers);
        const appeared = async () => {
          found = await this.#namespace(nvme);
          return found !== undefined;
        };
        await waitUntil(appeared, limits.appear, ctx.signal);
      }
      if (!found) {
        throw fail(
          "unreachable",
          `connect namespace ${nvme.nguid} of '${nvme.nqn}': it did not appear; check that the array exports it to this node`,
        );
      }
      await setLink(link, `/dev/${found.name}`);
      return link;
    });
  }

  disconnect(ctx: Context, connection: Connection, link: string): Promise<void> {
    return this.#locked(ctx, connection, async (nvme) => {
      const found = await this.#namespace(nvme);
      if (found) {
        const users = await this.layer.deviceUsers(this.root, found.name);
        if (users.length > 0) {
          throw fail(
            "busy",
            `disconnect namespace ${nvme.nguid}: device '/dev/${found.name}' is in use (${users.join(", ")}); stop that first`,
          );
        }
        await this.#flush(nvme, found.name);
      }
      await removeLink(link);
      await this.#leave(ctx, nvme);
    });
  }

  refresh(ctx: Context, connection: Connection, size: Bytes): Promise<void> {
    return this.#locked(ctx, connection, async (nvme) => {
      const grown = async () => ((await this.#namespace(nvme))?.size ?? size) >= size;
      if (await grown()) return;
      await this.#rescan(ctx, await this.layer.nvmeControllers(this.root, nvme.nqn));
      if (!(await waitUntil(grown, limits.rescan, ctx.signal))) {
        throw fail(
          "unreachable",
          `resize namespace ${nvme.nguid}: this node does not see ${size} bytes yet; repeat the resize`,
        );
      }
    });
  }

  /** The last volume leaves the subsystem. */
  async #leave(ctx: Context, { nqn }: Nvme): Promise<void> {
    if ((await this.layer.nvmeControllers(this.root, nqn)).length === 0) return;
    for (const name of await this.layer.nvmeDisks(this.root, nqn)) {
      if ((await linksTo(this.links, `/dev/${name}`)).length > 0) return;
      if ((await this.layer.deviceUsers(this.root, name)).length > 0) return;
    }
    const { status } = await this.#nvme(ctx, limits.disconnect, ["disconnect", "-n", nqn]);
    const gone = async () => (await this.layer.nvmeControllers(this.root, nqn)).length === 0;
    if (!(await waitUntil(gone, limits.appear, ctx.signal))) {
      throw fail(
        "unreachable",
        `leave NVMe subsystem '${nqn}': it is still connected (status ${status} of nvme disconnect); look at nvme list-subsys`,
      );
    }
  }

  /** Without a connection it would wait in the kernel until there is one, and nothing could end it. */
  async #flush({ nqn, nguid }: Nvme, name: string): Promise<void> {
    const controllers = await this.layer.nvmeControllers(this.root, nqn);
    if (!controllers.some(({ state }) => state === "live")) {
      throw fail(
        "unreachable",
        `disconnect namespace ${nguid}: there is no connection to write the data of '/dev/${name}'; repeat when the array is back, or the kernel has given it up`,
      );
    }
    await this.layer.flushDevice(`/dev/${name}`, limits.flush);
  }

  /** Connects at every portal where there is no connection yet; one is enough, others are warned of. */
  async #connectAll(ctx: Context, { nqn, portals }: Nvme): Promise<NvmeController[]> {
    const before = await this.layer.nvmeControllers(this.root, nqn);
    const missing = portals
      .map((portal) => parsePortal(portal, defaultPort))
      .filter((portal) => !before.some((controller) => controller.portal === formatPortal(portal)));
    if (missing.length > 0) await this.#loadModule(ctx);
    const failures: string[] = [];
    // One after the other: the first creates the subsystem, the others join it.
    for (const portal of missing) {
      const why = await this.#connectAt(ctx, nqn, portal);
      ctx.signal.throwIfAborted();
      if (why !== undefined) failures.push(`${formatPortal(portal)}: ${why}`);
    }
    const controllers = await this.layer.nvmeControllers(this.root, nqn);
    if (controllers.some(({ state }) => state === "live")) {
      for (const failure of failures) ctx.log.warn("a portal cannot be used", { nqn, failure });
      return controllers;
    }
    const why = failures.join("; ") || "its connections are lost";
    throw fail(
      "unreachable",
      `connect NVMe subsystem '${nqn}': ${why}; check network, portals and subsystem`,
    );
  }

  /** nvme does not load it, and without it there is nothing that could connect. */
  async #loadModule(ctx: Context): Promise<void> {
    if (existsSync(join(this.root, "sys/module/nvme_tcp"))) return;
    const program = await findProgram("modprobe", this.root);
    if (program === undefined) return;
    const { status } = await run(program, ["nvme-tcp"], { signal: ctx.signal, limitMs: limits.module });
    if (status !== 0) {
      throw fail(
        "unsupported",
        `use NVMe/TCP: module nvme-tcp cannot be loaded (status ${status} of modprobe); install a kernel that has it`,
      );
    }
  }

  /** Why it failed; undefined when it did not. */
  async #connectAt(ctx: Context, nqn: string, { address, port }: Portal): Promise<string | undefined> {
    const at = ["-t", "tcp", "-n", nqn, "-a", address, "-s", String(port)];
    try {
      const { status } = await this.#nvme(ctx, limits.connect, ["connect", ...at]);
      if (status === 0) return undefined;
      const controllers = await this.layer.nvmeControllers(this.root, nqn);
      const there = controllers.some(({ portal }) => portal === formatPortal({ address, port }));
      return there ? undefined : `no connection (status ${status} of nvme connect)`;
    } catch (error) {
      if (codeOf(error) !== "timeout") throw error;
      return `no answer within ${limits.connect / 1000} s`;
    }
  }

  async #rescan(ctx: Context, controllers: readonly NvmeController[]): Promise<void> {
    for (const { name, state } of controllers) {
      if (state !== "live") continue;
      await this.layer.nvmeRescan(this.root, name, limits.rescan).catch((error: unknown) => {
        ctx.log.warn("a controller could not be rescanned", { name, error });
      });
    }
  }

  #namespace({ nqn, nguid }: Nvme): Promise<NvmeNamespace | undefined> {
    return this.layer.nvmeNamespace(this.root, nqn, nguid);
  }

  async #nvme(ctx: Context, limitMs: number, args: readonly string[]): Promise<Finished> {
    const program = await findProgram("nvme", this.root);
    if (program === undefined) throw fail("unsupported", "use NVMe/TCP: nvme is missing; install nvme-cli");
    return run(program, args, { signal: ctx.signal, limitMs });
  }

  async #locked<T>(ctx: Context, connection: Connection, body: (nvme: Nvme) => Promise<T>): Promise<T> {
    if (connection.kind !== "nvme-tcp")
      throw fail("internal", `nvme-tcp connector was given a '${connection.kind}' connection`);
    if (!/^nqn\.[!-~]{1,219}$/.test(connection.nqn)) {
      throw fail("invalid", `'${connection.nqn}' is not the name of an NVMe subsystem; report it`);
    }
    const release = await this.#locks.acquire([connection.nqn], ctx.signal);
    try {
      return await body(connection);
    } finally {
      release();
    }
  }
}
