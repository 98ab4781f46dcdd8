// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFileSync } from "node:fs";
import test from "ava";
import { decodeBase32, encodeBase32 } from "../../../src/arrays/joviandss/base32.js";
import { withoutPrefix, withPrefix } from "../../../src/arrays/joviandss/cluster.js";
import {
  exportObjectName,
  isHidden,
  parseSnapshotObject,
  parseVolumeObject,
  type SnapshotObject,
  snapshotObjectName,
  type VolumeObject,
  volumeObjectName,
} from "../../../src/arrays/joviandss/names.js";
import { scsiIdOf, targetIndex, targetName, wwidOf } from "../../../src/arrays/joviandss/targets.js";

interface Vectors {
  base32: { text: string; encoded: string }[];
  volumes: { id: string; name: string }[];
  snapshots: { snapshot: string; name: string }[];
  exports: { id: string; snapshot: string; name: string }[];
  volumeObjects: { name: string; ok: VolumeObject | null }[];
  snapshotObjects: { name: string; ok: SnapshotObject | null }[];
  prefixes: { prefix: string | null; id: string; volname: string | null }[];
  targets: { prefix: string; vmid: number; index: number; name: string }[];
  otherTargets: { prefix: string; vmid: number; name: string }[];
  wwids: { scsiId: string; wwid: string }[];
}

const vectors = JSON.parse(readFileSync("tests/vectors/joviandss-names.json", "utf8")) as Vectors;

for (const { text, encoded } of vectors.base32)
  test(`base32 of '${text}', both ways`, (t) => {
    t.is(encodeBase32(text), encoded);
    t.is(decodeBase32(encoded), text);
  });

for (const { id, name } of vectors.volumes)
  test(`volume '${id}' has its name, both ways`, (t) => {
    t.is(volumeObjectName(id), name);
    t.deepEqual(parseVolumeObject(name), { kind: "volume", id });
    t.is(parseSnapshotObject(name)?.kind, "intermediate");
  });

for (const { snapshot, name } of vectors.snapshots)
  test(`snapshot '${snapshot}' has its name, both ways`, (t) => {
    t.is(snapshotObjectName(snapshot), name);
    t.deepEqual(parseSnapshotObject(name), { kind: "snapshot", snapshot });
    t.is(parseVolumeObject(name), undefined);
  });

for (const { id, snapshot, name } of vectors.exports)
  test(`the export of '${snapshot}' of '${id}' has its name, both ways`, (t) => {
    t.is(exportObjectName(id, snapshot), name);
    t.deepEqual(parseVolumeObject(name), { kind: "export", id, snapshot });
  });

for (const { name, ok } of vectors.volumeObjects)
  test(`zvol '${name.slice(0, 60)}' is ${ok ? `a ${ok.kind}` : "foreign"}`, (t) => {
    t.deepEqual(parseVolumeObject(name) ?? null, ok);
  });

for (const { name, ok } of vectors.snapshotObjects)
  test(`snapshot '${name}' is ${ok ? `of kind ${ok.kind}` : "foreign"}`, (t) => {
    t.deepEqual(parseSnapshotObject(name) ?? null, ok);
  });

for (const { prefix, id, volname } of vectors.prefixes)
  test(`id '${id}' ${volname ? "belongs to" : "is foreign to"} the cluster ${prefix ?? "without a prefix"}`, (t) => {
    t.is(withoutPrefix(id, prefix ?? undefined) ?? null, volname);
    if (volname) t.is(withPrefix(volname, prefix ?? undefined), id);
  });

for (const { prefix, vmid, index, name } of vectors.targets)
  test(`target ${index} of guest ${vmid} below '${prefix}', both ways`, (t) => {
    t.is(targetName(prefix, vmid, index), name);
    t.is(targetIndex(prefix, vmid, name), index);
  });

for (const { prefix, vmid, name } of vectors.otherTargets)
  test(`target '${name}' is not one of guest ${vmid}`, (t) => {
    t.is(targetIndex(prefix, vmid, name), undefined);
  });

for (const { scsiId, wwid } of vectors.wwids)
  test(`the wwid of SCSI id '${scsiId}'`, (t) => {
    t.is(wwidOf(scsiId), wwid);
  });

test("what the array cannot name is refused", (t) => {
  for (const make of [
    () => volumeObjectName(""),
    () => volumeObjectName("x".repeat(255)),
    () => volumeObjectName(`vm-100-disk-0.${"x".repeat(100)}`),
    () => snapshotObjectName(""),
    () => exportObjectName("vm-100-disk-0", "s".repeat(240)),
    () => targetName("iqn.UPPER", 100, 0),
    () => targetName(`iqn.${"x".repeat(220)}`, 100, 0),
  ])
    t.throws(make, { code: "invalid" });
  for (const id of ["", "1234567", "é2345678"]) t.throws(() => wwidOf(id), { code: "internal" });
});

test("the SCSI id comes from the volume's identity when it is not said itself", (t) => {
  const volumeId = "9e697f6e11336500480c13e4467b7964bed4b02e";
  t.is(scsiIdOf({ default_scsi_id: "95545635e1780899", volumeId }), "95545635e1780899");
  t.is(scsiIdOf({ volumeId }), "9e697f6e11336500");
  t.is(scsiIdOf({}), undefined);
});

test("hidden volumes of earlier plugins are known by their prefix", (t) => {
  t.true(isHidden("t_vm-100-disk-0"));
  t.false(isHidden("v_t_x"));
});
