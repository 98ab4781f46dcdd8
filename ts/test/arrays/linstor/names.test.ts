// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import {
  definitionNames,
  exportName,
  hashedName,
  isLegal,
  keys,
  plainName,
  snapshotName,
  snapshotNames,
  volumeName,
} from "../../../src/arrays/linstor/names.js";

const ram = `vm-100-state-${"S".repeat(40)}`;

test("what LINSTOR can be asked for is called as PVE calls it, and as the vendor's plugin does", (t) => {
  for (const name of [
    "vm-100-disk-0",
    "vm-999999999-disk-1023",
    "vm-100-cloudinit",
    "vm-100-state-Before",
    "vm-1234-pvc-0d5a2b1c-7f1e-4a5b-9c3d-2e8f6a7b",
  ]) {
    t.is(plainName(name), name);
    t.is(volumeName(name, {}), name);
  }
  t.is(plainName("pm-1a2b3c4d_100"), "pm-1a2b3c4d");
  t.is(volumeName("pm-1a2b3c4d", { [keys.vmid]: "100" }), "pm-1a2b3c4d_100");
  t.is(volumeName("pm-1a2b3c4d", {}), undefined, "nobody's");
  t.is(volumeName("pm-1a2b3c4d", { [keys.vmid]: "0100" }), undefined);
});

test("what is too long, or has other characters, gets a name of at most 48 that tells it from others", (t) => {
  for (const name of [ram, "vm-100-data_1.a+b", `vm-1234567-pvc-${"0".repeat(36)}`]) {
    t.is(plainName(name), undefined);
    const [made = "", other = ""] = definitionNames("store", name);
    t.true(isLegal(made) && isLegal(other), made);
    t.true(made.length <= 48 && other.length <= 48);
    t.not(made, other);
    t.is(volumeName(made, {}), undefined, "nobody's without its property");
    t.is(volumeName(made, { [keys.name]: `${made} ${name}` }), name);
  }
  t.not(hashedName(ram), hashedName(ram.toLowerCase()));
  t.not(hashedName("vm-100-a.b"), hashedName("vm-100-a+b"));
});

test("a name that looks like one with a hash gets one, so that it is never mistaken", (t) => {
  const made = hashedName(ram);
  t.is(plainName(made), undefined);
  t.not(hashedName(made), made);
});

test("a definition that was made of a snapshot does not take its source's name for its own", (t) => {
  const props = { [keys.name]: "vm-100-disk-0 base-100-disk-0" };
  t.is(volumeName("vm-100-disk-0", props), "base-100-disk-0");
  t.is(volumeName("vm-101-disk-0", props), "vm-101-disk-0");
  const name = exportName("vm-100-disk-0", "snap_vm-100-disk-0_s1", "pve1");
  t.is(volumeName(name, { [keys.export]: `${name} vm-100-disk-0 snap_vm-100-disk-0_s1 pve1` }), undefined);
});

test("snapshots are called as the vendor's plugin calls them, where that fits", (t) => {
  t.is(snapshotNames("vm-100-disk-0", "before", 0)[0], "snap_vm-100-disk-0_before");
  t.is(snapshotName("vm-100-disk-0", "snap_vm-100-disk-0_before", {}), "before");
  t.is(snapshotName("vm-100-disk-0", "snap_vm-100-disk-0_Before", {}), "Before");
  t.is(snapshotName("vm-100-disk-0", "snap_vm-101-disk-0_before", {}), undefined);
  t.is(snapshotName("vm-100-disk-0", "back_20240101", {}), undefined);
  t.is(snapshotName("vm-100-disk-0", "snap_vm-100-disk-0_", {}), undefined);
});

test("the longest name of PVE is possible for a snapshot", (t) => {
  const long = "x".repeat(40);
  const names = snapshotNames("vm-100-disk-0", long, 0);
  t.is(names.length, 1);
  const [made = ""] = names;
  t.true(isLegal(made), made);
  t.is(snapshotName("vm-100-disk-0", made, {}), undefined);
  t.is(snapshotName("vm-100-disk-0", made, { [keys.snapshot]: `vm-100-disk-0 ${long}` }), long);
});

test("beside any number of others a snapshot has a name of its own", (t) => {
  for (const snapshot of ["before", "x".repeat(40)]) {
    const names = snapshotNames("vm-100-disk-0", snapshot, 3);
    t.true(new Set(names).size > 3);
    for (const name of names) t.true(isLegal(name), name);
  }
});

test("exports of one snapshot differ by node, whatever its case", (t) => {
  const of = (node: string) => exportName("vm-100-disk-0", "snap_x", node);
  t.not(of("pve1"), of("pve2"));
  t.is(of("pve1"), of("PVE1"));
  t.true(isLegal(of("pve1")));
});

test("names that LINSTOR keeps for itself, or cannot have, are not legal", (t) => {
  for (const name of ["all", "ALL", "proxy", "a", "", "1a", "-a", "a.b", "a b", "x".repeat(49), "ä1"])
    t.false(isLegal(name), name);
});
