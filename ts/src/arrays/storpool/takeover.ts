// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";
import type { Guest } from "../guest.js";

/** Another client that has the volume attached. */
export interface Holder {
  readonly client: number;
  /** StorPool's own word on it: a client that is down does no I/O. */
  readonly running: boolean;
}

/** Which clients lose a volume to this node. */
export interface Takeover {
  /** Running ones. */
  readonly running: readonly number[];
  /** The running ones lose it also while they have it open. */
  readonly force: boolean;
  /** Those that are down: always by force, and without waiting for them. */
  readonly down: readonly number[];
}

const beside: Takeover = { running: [], force: false, down: [] };

/**
 * Who may take a volume from whom when a guest starts on `node`.
 *
 * - A live migration has the volume on both nodes: nobody is detached.
 * - The configuration is on the node that runs the guest, so any other node is refused.
 * - Clients that are down lose it by force: their node was fenced.
 * - A running client loses it only when it has not got it open, or when the HA manager says that the guest was
 *   recovered here; never while the guest is locked.
 *
 * Throws `refused` and `busy`.
 */
export function takeover(
  what: string,
  node: string,
  guest: Guest | undefined,
  holders: readonly Holder[],
): Takeover {
  // Without a configuration nobody can tell who is right.
  if (guest === undefined) return beside;
  if (guest.lock === "migrate" || guest.ha?.state === "migrate") return beside;
  if (guest.node !== node) {
    throw fail(
      "refused",
      `attach ${what}: its guest belongs to node '${guest.node}', not to '${node}'; a migration was interrupted, start it there`,
    );
  }
  if (holders.length === 0) return beside;
  const running = holders.filter((holder) => holder.running).map(({ client }) => client);
  const down = holders.filter((holder) => !holder.running).map(({ client }) => client);
  if (running.length === 0) return { running, force: false, down };
  if (guest.lock !== undefined) {
    throw fail(
      "busy",
      `attach ${what}: running client ${running.join(", ")} has it while its guest is locked (${guest.lock}); wait for that or qm unlock`,
    );
  }
  const recovered = guest.ha?.state === "started" && guest.ha.node === node;
  return { running, force: recovered, down };
}
