// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import type { VolumeRef } from "../contract.js";
import { LinstorError, means } from "./answer.js";
import { makeVolume } from "./creation.js";
import { isDiskful } from "./lookup.js";
import { keys } from "./names.js";
import type { Session } from "./session.js";

/** The smallest volume that all layers and pools can have, as the vendor's plugin makes it. */
const smallest = 3n << 20n;
/** LINSTOR counts in KiB. */
const unit = 1024n;
/** A size that a number holds exactly in KiB, and that LINSTOR's own arithmetic in bytes does, too. */
const largest = 1n << 60n;

/** A size as LINSTOR takes it. Throws `invalid`. */
export function wholeSize(size: Bytes): Bytes {
  if (size <= 0n) throw fail("invalid", "a volume needs a size; give one in GiB, as in STORAGE:8");
  if (size > largest) throw fail("invalid", `${size} bytes are more than LINSTOR can have; ask for less`);
  const whole = ((size + unit - 1n) / unit) * unit;
  return whole < smallest ? smallest : whole;
}

/** Makes an empty volume: a replica on this node if that is wanted and possible, the others where LINSTOR likes. */
export async function createVolume(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  size: Bytes,
): Promise<VolumeRef> {
  const { client, section } = session;
  const whole = wholeSize(size);
  const exact = section.exactSize ? { [keys.exactSize]: "True" } : {};
  return makeVolume(session, ctx, ref, {
    create: (calm, name, props, landed) =>
      client.definitions.spawn(
        calm,
        section.group,
        name,
        { size: whole, props: { ...exact, ...props } },
        landed,
      ),
    complete: (calm, name) => place(session, calm, name),
    properties: () => ({ set: {}, unset: [] }),
  });
}

async function place(session: Session, ctx: Context, name: string): Promise<void> {
  const { resources } = session.client;
  if (session.section.preferLocal) {
    try {
      await resources.makeAvailable(ctx, name, session.node, { diskful: true });
    } catch (error) {
      if (!(error instanceof LinstorError) || means(error, "auth")) throw error;
      ctx.log.info("no replica on this node", { definition: name, error });
    }
  }
  await resources.autoplace(ctx, name);
  if (!(await resources.view(ctx, name)).some(isDiskful))
    throw fail(
      "no-space",
      `LINSTOR placed no replica by resource group '${session.section.group}'; give it a place count`,
    );
}
