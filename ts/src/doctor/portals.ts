// SPDX-License-Identifier: AGPL-3.0-or-later
import { connect } from "node:net";
import { error, type Finding, ok, warning } from "../common/finding.js";
import { parsePortal } from "../connectors/portal.js";

const limitMs = 4_000;
const defaultPort = 3260;

/** Whether something accepts connections at each iSCSI portal. Nothing is sent. */
export async function portals(texts: readonly string[], signal: AbortSignal): Promise<Finding[]> {
  const answers = await Promise.all(texts.map(async (text) => ({ text, why: await refusal(text, signal) })));
  const bad = answers.filter(({ why }) => why !== undefined);
  if (bad.length === 0) return [ok("portals", `${texts.join(", ")} accept connections`)];
  const level = bad.length === texts.length ? error : warning;
  return bad.map(({ text, why }) =>
    level(
      "portals",
      `no connection to portal ${text} (${why})`,
      "check the storage network of this node, firewalls, and whether iSCSI runs on the array at this address",
    ),
  );
}

function refusal(text: string, signal: AbortSignal): Promise<string | undefined> {
  const { address, port } = parsePortal(text, defaultPort);
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: limitMs, signal });
    const done = (why?: string) => {
      socket.destroy();
      resolve(why);
    };
    socket.once("connect", () => done());
    socket.once("timeout", () => done("no answer"));
    socket.once("error", (thrown: Error & { code?: string }) => done(thrown.code ?? thrown.name));
  });
}
