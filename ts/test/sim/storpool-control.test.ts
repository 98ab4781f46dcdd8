// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import test from "ava";
import { eventually } from "../eventually.js";
import { type Row, session } from "./storpool.js";

const program = "build/src/cli/main.js";

test("the control requests do not exist unless they are enabled", async (t) => {
  const s = await session(t);
  t.is((await s.raw("GET", "/sim/state")).status, 404);
  t.is((await s.raw("POST", "/sim/faults", { inject: [{ kind: "reset-before" }] })).status, 404);
  await s.get("VolumesList");
  t.is(s.sim.journal.entries.length, 1, "and are not in the journal");
});

test("state, check, journal, faults, clients and switches are controlled from outside", async (t) => {
  const s = await session(t, { control: true });
  const volume = await s.volume();
  const ask = async (verb: string, path: string, body?: unknown) => {
    const { status, text } = await s.raw(verb, path, body);
    return { status, value: JSON.parse(text) as Row & Row[] };
  };
  const { value: state } = await ask("GET", "/sim/state");
  t.is((state["objects"] as Row[])[0]?.["globalId"], volume);
  t.deepEqual((await ask("GET", "/sim/check")).value, []);
  t.is((await ask("GET", "/sim/journal")).value[0]?.["request"], "VolumeCreate");
  await ask("POST", "/sim/faults", { inject: [{ kind: "reset-after", on: "VolumeCreate" }] });
  await t.throwsAsync(s.volume(), { code: "ECONNRESET" });
  t.is((await s.get("VolumesList")).length, 2);
  await ask("POST", "/sim/faults", { plan: { transient: 1 } });
  t.true((await s.envelope("GET", "VolumesList")).error?.transient);
  await ask("POST", "/sim/faults", { plan: {}, refuseMs: 2_000 });
  t.true(
    await eventually(() =>
      s.get("VolumesList").then(
        () => false,
        () => true,
      ),
    ),
  );
  t.true(
    await eventually(() =>
      s.get("VolumesList").then(
        () => true,
        () => false,
      ),
    ),
  );
  await ask("POST", "/sim/clients/12", { status: "down" });
  t.is(s.sim.state.client(12).status, "down");
  await ask("POST", "/sim/clients/12", { status: "up" });
  t.is(s.sim.state.client(12).status, "running");
  await ask("POST", "/sim/behaviour", { snapshotFlag: false });
  await ask("POST", "/sim/behaviour", { replyMs: 1 });
  t.false(s.sim.behaviour.snapshotFlag, "a later change leaves the other switches");
  for (const [path, body] of [
    ["/sim/faults", { inject: [{ kind: "nonsense" }] }],
    ["/sim/behaviour", { nonsense: 1 }],
    ["/sim/clients/99", { status: "up" }],
    ["/sim/clients/12", { status: "asleep" }],
  ] as const)
    t.is((await ask("POST", path, body)).status, 400, path);
});

test("the command prints its address, serves, and ends with status 0 on a signal", async (t) => {
  const args = [
    "--client",
    "11:pve1",
    "--template",
    "ssd:1M",
    "--set",
    "snapshotFlag=false",
    "--fault",
    "delay=0.1",
  ];
  const child = spawn(
    process.execPath,
    [program, "sim", "storpool", "--token", "tok", "--control", ...args],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  t.teardown(() => child.kill("SIGKILL"));
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const url = line.toString().trim();
  const headers = { authorization: "Storpool v1:tok" };
  const status = (await (await fetch(`${url}/ctrl/1.0/VolumeTemplatesStatus`, { headers })).json()) as {
    data: { name: string; stored: Row }[];
  };
  t.like(status.data[0], { name: "ssd", stored: { capacity: 1024 * 1024 } });
  const state = (await (await fetch(`${url}/sim/state`)).json()) as { clients: Row[]; behaviour: Row };
  t.deepEqual(
    state.clients.map(({ id, dir }) => [id, dir]),
    [[11, "pve1"]],
  );
  t.is(state.behaviour["snapshotFlag"], false);
  child.kill("SIGTERM");
  t.deepEqual(await once(child, "exit"), [0, null]);
});

test("the command's help fits into 79 columns", (t) => {
  const { stdout } = spawnSync(process.execPath, [program, "sim", "--help"], { encoding: "utf8" });
  t.true(stdout.startsWith("Usage: pve-blockio sim joviandss|linstor|storpool"));
  for (const line of stdout.split("\n")) t.true(line.length <= 79, line);
});

test("the command refuses what it does not understand, in one line", (t) => {
  const wrong = [
    [],
    ["other"],
    ["storpool", "--listen", "nowhere"],
    ["storpool", "--client", "pve1"],
    ["storpool", "--template", "a:b"],
    ["storpool", "--template", "with blank"],
    ["storpool", "--foreign", "x"],
    ["storpool", "--set", "nonsense=1"],
    ["storpool", "--set", "replyMs=-1"],
    ["storpool", "--fault", "delay=2"],
    ["storpool", "--seed", "x"],
    ["storpool", "--devices", "/nowhere"],
  ];
  for (const args of wrong) {
    const { status, stderr, stdout } = spawnSync(process.execPath, [program, "sim", ...args], {
      encoding: "utf8",
      timeout: 10_000,
    });
    t.is(status, 2, args.join(" "));
    t.regex(stderr, /^pve-blockio: [^\n]+\(invalid\)\n$/);
    t.is(stdout, "");
  }
});
