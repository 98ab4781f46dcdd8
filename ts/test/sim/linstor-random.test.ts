// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { randomFrom } from "../../sim/common/random.js";
import type { SimulatorOptions } from "../../sim/linstor/index.js";
import { type Row, type Session, session } from "./linstor.js";
import { cannotLoop } from "./machine.js";

/** The report that a defect of the simulator names. */
const defect = "00000000-00000-000000";

type Step = readonly [verb: string, path: string, body?: Row];

/** One request of a node that picks everything at random. */
async function step(s: Session, node: string, random: () => number): Promise<void> {
  const pick = <T>(list: readonly T[], other: T): T => list[Math.floor(random() * list.length)] ?? other;
  const definitions = s.sim.state.definitions.values();
  const definition = pick(
    definitions.map(({ name }) => name),
    "none",
  );
  const snapshots = s.sim.state.definitions.get(definition)?.snapshots.values() ?? [];
  const snapshot = pick(
    snapshots.map(({ name }) => name),
    "none",
  );
  const other = pick(["pve1", "pve2", "pve3"], "pve1");
  const name = `vm-${Math.floor(random() * 4)}-disk-${Math.floor(random() * 3)}`;
  const a = `resource-definitions/${definition}`;
  const b = `resource-definitions/${name}`;
  const steps: readonly Step[] = [
    ["POST", "resource-groups/rg1/spawn", { resource_definition_name: name, volume_sizes: [4096] }],
    [
      "POST",
      "resource-groups/rg1/spawn",
      { resource_definition_name: name, volume_sizes: [4096], definitions_only: true },
    ],
    ["POST", `${a}/resources/${node}/make-available`, { diskful: random() < 0.5 }],
    ["POST", `${a}/autoplace`, {}],
    ["PUT", `${a}/volume-definitions/0`, { size_kib: 4096 + Math.floor(random() * 8) * 1024 }],
    ["PUT", a, { override_props: { "Aux/by": node } }],
    ["PUT", `${a}/resource-connections/${node}/${other}`, { override_props: { "Aux/by": node } }],
    ["POST", `${a}/snapshots`, { name: `snap_${Math.floor(random() * 5)}` }],
    ["DELETE", `${a}/snapshots/${snapshot}`],
    ["POST", `${a}/snapshot-rollback/${snapshot}`],
    ["POST", `${a}/clone`, { name }],
    ["DELETE", `${a}/resources/${node}${random() < 0.5 ? "?keep_tiebreaker=true" : ""}`],
    [
      "PUT",
      `${a}/resources/${node}/toggle-disk`,
      { operation: pick(["INTO_DRBD_DISKFUL", "INTO_DRBD_DISKLESS"], "") },
    ],
    ["DELETE", b],
    ["DELETE", a],
  ];
  const restore: readonly Step[] = [
    ["POST", "resource-definitions", { resource_definition: { name } }],
    ["POST", `${a}/snapshot-restore-volume-definition/${snapshot}`, { to_resource: name }],
    ["POST", `${a}/snapshot-restore-resource/${snapshot}`, { to_resource: name }],
  ];
  const chosen = random() < 0.1 ? restore : [pick(steps, ["GET", "nodes"] as Step)];
  for (const [verb, path, body] of chosen) {
    const { text, status } = await s.raw(verb, `/v1/${path}`, body);
    if (status >= 500 && text.includes(defect)) throw new Error(`${verb} ${path}: ${text}`);
  }
}

/** Nodes work at the same time, satellites come and go; whatever they did, all is sound after each round. */
async function storm(t: ExecutionContext, rounds: number, options: SimulatorOptions): Promise<Session> {
  const s = await session(t, options);
  const random = randomFrom(options.seed ?? 1);
  // What drivers leave is not the simulator's fault.
  const forgotten = /without resources|a clone that failed|a temporary resource/;
  for (let round = 0; round < rounds; round++) {
    const away = random() < 0.2 ? `pve${1 + Math.floor(random() * 3)}` : undefined;
    if (away !== undefined) await s.sim.setNode(away, false);
    await Promise.all(["pve1", "pve2", "pve3", "pve1"].map((node) => step(s, node, random)));
    if (away !== undefined) await s.sim.setNode(away, true);
    await s.sim.hurry();
    const wrong = s.sim.check().filter((line) => !forgotten.test(line));
    t.deepEqual(wrong, [], `round ${round}`);
  }
  const done = new Set(
    s.sim.journal.entries.filter(({ outcome }) => outcome === "ok").map((at) => at.request),
  );
  t.true(done.has("spawn") && done.has("makeAvailable") && done.has("definitionDelete"));
  return s;
}

for (const [kind, version] of [
  ["LVM_THIN", "1.34.0"],
  ["ZFS", "1.33.0"],
  ["LVM_THIN", "1.30.0"],
] as const)
  test(`random requests never break an invariant: records only, ${kind}, server ${version}`, async (t) => {
    const s = await storm(t, 100, { seed: 11, pools: [{ name: "ssd", kind }], behaviour: { version } });
    const done = new Set(
      s.sim.journal.entries.filter(({ outcome }) => outcome === "ok").map((at) => at.request),
    );
    for (const request of [
      "snapshotCreate",
      "snapshotRollback",
      "restoreResource",
      "volumeDefinitionModify",
      "toggleDisk",
    ])
      t.true(done.has(request), request);
  });

test("random requests never break an invariant: halfway failures", async (t) => {
  const faults = {
    deployFails: 0.1,
    snapshotFails: 0.1,
    rollbackFails: 0.3,
    cloneNodeLost: 0.3,
    resetAfter: 0,
  };
  await storm(t, 50, { seed: 12, faults });
});

test("random requests never break an invariant: with files, without DRBD too", async (t) => {
  for (const layers of [["DRBD", "STORAGE"], ["STORAGE"]] as const) {
    const data = mkdtempSync(join(tmpdir(), "blockio-linstor-"));
    t.teardown(() => rmSync(data, { recursive: true, force: true }));
    await storm(t, 20, { seed: 13, data, groups: [{ name: "rg1", layers }] });
  }
});

const reason = cannotLoop();
const maybe = reason === undefined ? test : test.skip;

maybe(
  `random requests never break an invariant: with loop devices${reason ? ` (${reason})` : ""}`,
  async (t) => {
    const top = mkdtempSync(join(tmpdir(), "blockio-linstor-"));
    t.teardown(() => rmSync(top, { recursive: true, force: true }));
    const [data, devices] = [join(top, "data"), join(top, "dev")];
    await storm(t, 25, { seed: 14, data, devices, behaviour: { linkDelayMs: 3 } });
  },
);

test("of two that spawn one name at once one wins", async (t) => {
  const s = await session(t);
  const body = { resource_definition_name: "vm-100-disk-0", volume_sizes: [4096] };
  const both = await Promise.all([1, 2].map(() => s.say("POST", "resource-groups/rg1/spawn", body)));
  t.deepEqual(both.map(({ status }) => status).sort(), [201, 500]);
  t.deepEqual(s.sim.check(), []);
});
