// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Initiator, JovianSimulator } from "../../../sim/joviandss/index.js";
import { wantedSchema } from "../../../sim/joviandss/index.js";
import type { Connection } from "../../../src/arrays/contract.js";
import type { Context } from "../../../src/common/context.js";
import { fail } from "../../../src/common/errors.js";
import type { Connector } from "../../../src/connectors/connector.js";
import { removeLink, setLink } from "../../../src/connectors/link.js";

/** A node's iSCSI whose kernel is the simulator's. */
export class LoopInitiator implements Connector {
  readonly #kernel: Initiator;

  constructor(
    sim: JovianSimulator,
    readonly name: string,
  ) {
    this.#kernel = sim.initiator(name);
  }

  path(_connection: Connection, link: string): string {
    return link;
  }

  async connect(ctx: Context, connection: Connection, link: string): Promise<string> {
    ctx.signal.throwIfAborted();
    await setLink(link, await typed(this.#kernel.connect(wantedSchema.parse(connection))));
    return link;
  }

  async disconnect(ctx: Context, connection: Connection, link: string): Promise<void> {
    ctx.signal.throwIfAborted();
    await typed(this.#kernel.disconnect(wantedSchema.parse(connection)));
    await removeLink(link);
  }

  refresh(_ctx: Context, connection: Connection, size: bigint): Promise<void> {
    return typed(this.#kernel.refresh({ ...wantedSchema.parse(connection), size }));
  }

  get state(): Initiator["state"] {
    return this.#kernel.state;
  }

  /** As when the node loses power. */
  die(): Promise<void> {
    return this.#kernel.die();
  }
}

async function typed<T>(work: Promise<T>): Promise<T> {
  return work.catch((error: { code?: "auth" | "busy" | "refused" | "unreachable"; message?: string }) => {
    throw fail(error.code ?? "internal", error.message ?? String(error));
  });
}
