// SPDX-License-Identifier: AGPL-3.0-or-later
import { randomUUID } from "node:crypto";
import { type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { isWhole } from "./lookup.js";
import { keys, ownWords, sameName, snapshotName, snapshotNames } from "./names.js";
import type { Session } from "./session.js";
import type { LinstorSnapshot } from "./shapes.js";
import type { NewSnapshot } from "./snapshot-requests.js";

import { undo } from "./undo.js";

/**
 * How a new snapshot is called: as the vendor's plugin would, where that fits and nobody has it. `others` are all that there
 * are, also those on their way out.
 */
export function newSnapshot(
  definition: string,
  snapshot: string,
  others: readonly LinstorSnapshot[],
): NewSnapshot {
  const names = snapshotNames(definition, snapshot, others.length);
  const name = names.find((one) => !others.some((row) => sameName(row.name, one))) ?? names.at(-1) ?? "";
  const told = snapshotName(definition, name, {}) === snapshot;
  return { definition, name, props: told ? {} : { [keys.snapshot]: `${definition} ${snapshot}` } };
}

/**
 * Takes snapshots exactly once, although replies may be lost: each has a mark of its request. What a failed attempt has made
 * is taken back.
 */
export async function takeSnapshot(
  session: Session,
  ctx: Context,
  what: string,
  wanted: readonly [NewSnapshot, ...NewSnapshot[]],
): Promise<void> {
  const { snapshots } = session.client;
  const calm = steady(ctx);
  const request = randomUUID();
  const mark = (one: NewSnapshot): NewSnapshot => ({
    ...one,
    props: { ...one.props, [keys.taken]: `${one.definition} ${request}` },
  });
  const [first, ...rest] = wanted;
  const marked = [mark(first), ...rest.map(mark)] as const;
  const made = async (asker: Context): Promise<LinstorSnapshot[]> => {
    const rows: LinstorSnapshot[] = [];
    for (const { definition, name } of wanted) {
      const row = (await snapshots.list(asker, definition)).find((one) => sameName(one.name, name));
      if (row && ownWords(row.props, keys.taken, definition)?.[0] === request) rows.push(row);
    }
    return rows;
  };
  const complete = async (asker: Context) => {
    const rows = await made(asker);
    return rows.length === wanted.length && rows.every(isWhole);
  };
  try {
    await snapshots.create(calm, marked, complete);
    // The reply is a success also for a snapshot that a satellite failed to take.
    const failed = (await made(calm)).find((row) => !isWhole(row));
    if (failed)
      throw fail(
        "refused",
        `LINSTOR failed to take snapshot '${failed.name}'; look at linstor error-reports`,
      );
  } catch (error) {
    throw await undo(session, ctx, error, `a snapshot of '${what}'`, async (later) => {
      const rows = await made(later);
      for (const { definition, name } of rows) await snapshots.delete(later, definition, name);
      return rows.length > 0;
    });
  }
}
