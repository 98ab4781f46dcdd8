// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { randomFrom } from "../../sim/common/random.js";
import type { SimulatorOptions, Volume } from "../../sim/joviandss/index.js";
import { iqn, mib, type Session, session } from "./joviandss.js";

function directory(t: ExecutionContext): string {
  const dir = mkdtempSync(join(tmpdir(), "blockio-joviandss-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Writes into the data of a volume, or reads what is there. */
async function content(dir: string, { id }: Volume, text?: string): Promise<string> {
  const file = await open(join(dir, `joviandss-${id}.raw`), "r+");
  try {
    if (text !== undefined) await file.write(text, 0);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(5), 0, 5, 0);
    return buffer.subarray(0, bytesRead).toString();
  } finally {
    await file.close();
  }
}

test("snapshots and clones keep the data of their moment, and a rollback brings it back", async (t) => {
  const data = directory(t);
  const s = await session(t, { data });
  const volume = (name: string) => {
    const found = s.sim.pool().volumes.get(name);
    if (!found) throw new Error(name);
    return found;
  };
  await s.volume("v_a");
  t.is(await content(data, volume("v_a")), "\0\0\0\0\0");
  await content(data, volume("v_a"), "first");
  await s.snapshot("v_a", "s_1");
  await content(data, volume("v_a"), "later");
  await s.clone("v_a", "s_1", "v_c");
  t.is(await content(data, volume("v_c")), "first");
  await content(data, volume("v_c"), "clone");
  await s.ask("PUT", "volumes/v_a", { size: String(2 * mib) });
  await s.ask("POST", "volumes/v_a/snapshots/s_1/rollback");
  t.is(await content(data, volume("v_a")), "first");
  t.is(await content(data, volume("v_c")), "clone");
  await s.ask("DELETE", "volumes/v_c", {});
  await s.ask("DELETE", "volumes/v_a", { recursively_children: true });
  t.deepEqual(s.sim.check(), []);
  t.deepEqual(
    readdirSync(data).filter((name) => name.endsWith(".raw")),
    [],
  );
});

test("what an earlier simulator left is removed, and a living one's directory is refused", async (t) => {
  const data = directory(t);
  const s = await session(t, { data });
  await s.volume("v_a");
  await t.throwsAsync(session(t, { data }), { message: /belongs to the simulator/ });
  await s.sim.close();
  t.deepEqual(readdirSync(data), []);
});

/** What somebody may be told when others work on the same objects; never `internal`. */
const expected =
  /^(ok|not-found|exists|attached|lun-taken|has-snapshots|has-clones|snapshot-has-clones|rollback-clones|invalid|no-space|config-clash)$/;

async function step(s: Session, random: () => number): Promise<void> {
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const fresh = () => `v_${Math.floor(random() * 12)}`;
  const { volumes, snapshots } = s.sim.pool();
  const volume = pick([...volumes.keys()]) ?? "v_none";
  const { name: snapshot, volume: owner } = pick([...snapshots]) ?? {
    name: "s_none",
    volume: { name: volume },
  };
  const of = `volumes/${owner.name}/snapshots/${snapshot}`;
  const requests: [string, string, unknown?][] = [
    ["POST", "volumes", { name: fresh(), size: String(mib), sparse: true }],
    ["POST", `volumes/${volume}/snapshots`, { snapshot_name: `s_${Math.floor(random() * 4)}` }],
    ["POST", `volumes/${owner.name}/clone`, { name: fresh(), snapshot, sparse: true }],
    ["POST", `${of}/rollback`],
    ["DELETE", of, {}],
    ["PUT", `volumes/${volume}`, { name: fresh() }],
    ["PUT", `volumes/${volume}`, { size: String(mib * Math.ceil(random() * 3)) }],
    ["DELETE", `volumes/${volume}`, random() < 0.5 ? {} : { recursively_children: true }],
    ["POST", `san/iscsi/targets/${iqn}/luns`, { name: volume }],
    ["DELETE", `san/iscsi/targets/${iqn}/luns/${volume}`],
    ["DELETE", `san/iscsi/targets/${iqn}`, {}],
    ["POST", "san/iscsi/targets", { name: iqn }],
  ];
  const [verb, path, body] = pick(requests) ?? ["GET", "volumes"];
  await s.raw(verb, `pools/Pool-0/${path}`, body);
}

async function storm(t: ExecutionContext, rounds: number, options: SimulatorOptions): Promise<void> {
  const s = await session(t, options);
  const random = randomFrom(options.seed ?? 1);
  for (let round = 0; round < rounds; round++) {
    await Promise.all([1, 2, 3, 4].map(() => step(s, random)));
    t.deepEqual(s.sim.check({ emptyTargets: [iqn] }), [], `round ${round}`);
  }
  const { entries } = s.sim.journal;
  for (const { outcome, path } of entries) t.regex(outcome, expected, path);
  for (const request of ["volumeCreate", "cloneCreate", "rollback", "lunAttach", "volumeDelete"])
    t.true(
      entries.some((entry) => entry.request === request && entry.outcome === "ok"),
      request,
    );
}

test("random requests of several clients never break an invariant: records only", async (t) => {
  await storm(t, 120, { seed: 5 });
});

test("random requests of several clients never break an invariant: with files", async (t) => {
  await storm(t, 60, { seed: 5, data: directory(t) });
});
