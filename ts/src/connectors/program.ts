// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawn } from "node:child_process";
import type { Connection } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
import { fail, isErrorCode } from "../common/errors.js";
import type { Connector } from "./connector.js";
import { removeLink, setLink } from "./link.js";

/** How long one call of the program may take, in milliseconds. */
const limitMs = 60_000;

/**
 * Leaves connections to a program, in place of the node's own iSCSI: `PROGRAM connect|disconnect|refresh`, the connection as
 * JSON on its standard input (`size` in bytes, as text). It prints `{"device": PATH}`, `{}`, or `{"code", "message"}`. For
 * benches without a kernel that has the initiator.
 */
export class ProgramConnector implements Connector {
  constructor(private readonly program: string) {}

  path(_connection: Connection, link: string): string {
    return link;
  }

  async connect(ctx: Context, connection: Connection, link: string): Promise<string> {
    const { device } = await this.#run(ctx, "connect", connection);
    if (typeof device !== "string" || !device.startsWith("/dev/"))
      throw fail("internal", `${this.program} gave no device; look at its output`);
    await setLink(link, device);
    return link;
  }

  async disconnect(ctx: Context, connection: Connection, link: string): Promise<void> {
    await this.#run(ctx, "disconnect", connection);
    await removeLink(link);
  }

  async refresh(ctx: Context, connection: Connection, size: bigint): Promise<void> {
    await this.#run(ctx, "refresh", { ...connection, size } as Connection);
  }

  async #run(ctx: Context, verb: string, connection: Connection): Promise<Record<string, unknown>> {
    const input = JSON.stringify(connection, (_, value: unknown) =>
      typeof value === "bigint" ? value.toString() : value,
    );
    const text = await this.#output(ctx, verb, input);
    let answer: Record<string, unknown>;
    try {
      answer = JSON.parse(text) as Record<string, unknown>;
    } catch (error) {
      throw fail("internal", `${this.program} ${verb}: its output is no JSON`, error);
    }
    const { code, message } = answer;
    if (code === undefined) return answer;
    throw fail(isErrorCode(code) ? code : "internal", `${verb}: ${String(message)}`);
  }

  #output({ signal }: Context, verb: string, input: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn(this.program, [verb], {
        stdio: ["pipe", "pipe", "ignore"],
        env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
        signal,
        timeout: limitMs,
      });
      let printed = "";
      child.stdout.setEncoding("utf8").on("data", (part: string) => {
        printed += part;
      });
      child.once("error", reject);
      child.once("close", () => resolve(printed));
      child.stdin.on("error", () => {}).end(input);
    });
  }
}
