// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ExecutionContext } from "ava";
import type { Capability } from "./question.js";
import type { Session } from "./session.js";

/**
 * What a driver without a capability is asked instead: the verb must be refused as `unsupported` and leave nothing.
 * No entry: without the capability there is nothing that could be refused.
 */
export const opposites: Partial<Record<Capability, (t: ExecutionContext, s: Session) => Promise<void>>> = {
  async snapshots(t, s) {
    const volname = await s.alloc();
    await s.fill(volname, "data");
    await s.refused(t, "unsupported", () => s.snapshot(volname, "s1"), volname);
    t.deepEqual(await s.snapshots(volname), {});
    await s.refused(t, ["unsupported", "absent"], () => s.rollback(volname, "s1"));
    t.false((await s.rollbackPossible(volname, "s1")).possible);
    await s.shows(t, volname, "data");
  },

  async linkedClones(t, s) {
    const base = await s.makeBase(await s.alloc());
    await s.refused(t, "unsupported", () => s.clone(base, 101), base);
    await s.refused(t, "unsupported", () => s.clone(base, 100), base);
    t.deepEqual(await s.names(), [base]);
  },

  async rename(t, s) {
    const volname = await s.alloc();
    await s.refused(t, "unsupported", () => s.rename(volname, 101), volname);
    await s.refused(t, "unsupported", () =>
      s.rename(volname, 101, s.subject.fileName("vm-101-disk-7", "raw")),
    );
    t.deepEqual(await s.names(), [volname]);
  },

  async directories(t, s) {
    await s.refused(t, "unsupported", () => s.alloc({ format: "subvol" }));
    const name = s.subject.fileName("subvol-100-disk-0", "subvol");
    await s.refused(t, ["unsupported", "invalid"], () => s.alloc({ format: "subvol", name }));
    t.deepEqual(await s.list(), []);
  },
};
