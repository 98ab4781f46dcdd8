// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFileSync } from "node:fs";
import test from "ava";
import { storageType } from "../../src/arrays/registry.js";
import { VolumeNames } from "../../src/plugin/volname.js";

interface Vector {
  type: string;
  volname: string;
  ok: {
    vtype: string;
    name: string;
    vmid: number | string | null;
    basename?: string | null;
    basevmid?: number | string | null;
    isBase?: boolean | number;
    format: string;
  } | null;
}

const vectors = JSON.parse(readFileSync("tests/vectors/volnames.json", "utf8")) as Vector[];

test("the shared vectors parse as they say, good and bad", (t) => {
  let good = 0;
  let bad = 0;
  for (const { type, volname, ok } of vectors) {
    const names = new VolumeNames(storageType(type));
    const delegated = new RegExp(storageType(type).volnames.delegate ?? "^\\b$", "u").test(volname);
    // Names of files that PVE's own directory code looks after never reach the service.
    if (delegated) continue;
    if (ok === null) {
      bad++;
      t.throws(() => names.parse(volname), { message: /is not a volume name/ }, JSON.stringify(volname));
      continue;
    }
    good++;
    const ref = names.parse(volname);
    t.is(ref.name, ok.name, volname);
    t.is(ref.vmid, Number(ok.vmid ?? 0), volname);
    t.is(ref.format, ok.format as never, volname);
    t.is(ref.isBase, Boolean(ok.isBase), volname);
    t.is(ref.base?.name, ok.basename ?? undefined, volname);
  }
  t.true(good > 10 && bad > 20, `${good} good and ${bad} bad names were tried`);
});

test("names that are built are names that parse", (t) => {
  for (const type of ["blockio", "drbd", "joviandss", "storpool"]) {
    const names = new VolumeNames(storageType(type));
    const { naming } = names.type;
    for (const format of names.type.formats.allowed) {
      for (const vmid of [100, 999_999_999]) {
        for (const index of [0, 7, 1023]) {
          const ref = names.compose(vmid, naming.diskName(vmid, format, index));
          t.is(ref.vmid, vmid);
          t.is(ref.format, format);
          t.is(naming.diskIndex(ref.name), index);
          const base = names.compose(vmid, naming.baseName(ref));
          t.true(base.isBase);
          t.is(naming.diskIndex(base.name), index, "a base keeps its number taken");
        }
      }
    }
  }
});
