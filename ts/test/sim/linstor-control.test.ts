// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { eventually } from "../eventually.js";
import { type Row, session } from "./linstor.js";

const program = "build/src/cli/main.js";

test("the control requests do not exist unless they are enabled", async (t) => {
  const s = await session(t);
  t.is((await s.raw("GET", "/sim/state")).status, 404);
  t.is((await s.raw("POST", "/sim/faults", { inject: [{ kind: "reset-before" }] })).status, 404);
  t.is(s.sim.journal.entries.length, 0, "and are not in the journal");
});

test("state, check, journal, faults, nodes, controllers and switches are controlled from outside", async (t) => {
  const s = await session(t, { control: true, controllers: ["127.0.0.1", "127.0.0.2"] });
  await s.spawn("vm-100-disk-1");
  const ask = async (verb: string, path: string, body?: unknown) => {
    const { status, text } = await s.raw(verb, `/sim/${path}`, body);
    return { status, value: JSON.parse(text) as Row & Row[] };
  };
  const { value: state } = await ask("GET", "state");
  t.like((state["definitions"] as Row[])[0], { name: "vm-100-disk-1", group: "rg1" });
  t.is(state["activeController"], "127.0.0.1");
  t.deepEqual((await ask("GET", "check")).value, []);
  t.is((await ask("GET", "journal")).value[0]?.["request"], "spawn");
  await ask("POST", "faults", { inject: [{ kind: "reset-after", on: "definitionDelete" }] });
  await t.throwsAsync(s.do("DELETE", "resource-definitions/vm-100-disk-1"), { code: "ECONNRESET" });
  t.is(s.sim.state.definitions.size, 0);
  await ask("POST", "faults", { plan: { error: 1 } });
  t.is((await s.raw("GET", "/v1/nodes")).status, 500);
  await ask("POST", "faults", { plan: {}, clear: true });
  t.deepEqual((await ask("POST", "nodes/pve2", { online: false, flags: ["EVICTED"] })).value, {
    name: "pve2",
    online: false,
    flags: ["EVICTED"],
  } as never);
  await ask("POST", "nodes/pve2", { online: true, flags: [] });
  t.true(s.sim.state.node("pve2").online);
  await s.spawn("vm-100-disk-2");
  await s.do("POST", "resource-definitions/vm-100-disk-2/resources/pve3/make-available", {});
  t.deepEqual((await ask("GET", "idle")).value, ["vm-100-disk-2 on pve3"] as never);
  await ask("POST", "open", { node: "pve3", resource: "vm-100-disk-2", as: "write" });
  t.deepEqual((await ask("GET", "idle")).value, []);
  await ask("POST", "behaviour", { inUse: "write" });
  await ask("POST", "behaviour", { replyMs: 1 });
  t.is(s.sim.behaviour.inUse, "write", "a later change leaves the other switches");
  t.is((await ask("POST", "hurry", {})).status, 200);
  for (const [path, body] of [
    ["faults", { inject: [{ kind: "nonsense" }] }],
    ["faults", { nonsense: 1 }],
    ["behaviour", { nonsense: 1 }],
    ["nodes/none", { online: true }],
    ["nodes/pve1", { online: "maybe" }],
    ["controllers", { active: "192.0.2.1" }],
    ["open", { node: "pve1", resource: "none", as: "write" }],
  ] as const)
    t.is((await ask("POST", path, body)).status, 400, path);
  t.is((await ask("GET", "nonsense")).status, 404);
  const [first = "", second = ""] = s.sim.urls;
  await ask("POST", "controllers", { active: "127.0.0.2" });
  const answers = (url: string) =>
    fetch(`${url}/health`).then(
      () => true,
      () => false,
    );
  t.true(await eventually(async () => (await answers(second)) && !(await answers(first))));
});

test("connections are refused for a while, then accepted at the same port", async (t) => {
  const s = await session(t, { control: true });
  const [url = ""] = s.sim.urls;
  await s.raw("POST", "/sim/faults", { refuseMs: 3_600_000 });
  const answers = () =>
    fetch(`${url}/health`).then(
      () => true,
      () => false,
    );
  t.true(await eventually(async () => !(await answers())));
  await s.sim.hurry();
  t.true(await answers());
});

test("the command prints its addresses, serves, and ends with status 0 on a signal", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "blockio-linstor-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const args = ["--node", "alpha:a", "--node", "beta", "--storage-pool", "fast:ZFS_THIN:64M"];
  args.push("--group", "drbdgrp:1:DRBD,STORAGE", "--set", "version=1.31.2", "--fault", "delay=0.1");
  args.push("--tls-port", "0", "--certificate", join(dir, "cert.pem"), "--token", "tok");
  const child = spawn(process.execPath, [program, "sim", "linstor", "--control", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  const [lines] = (await once(child.stdout, "data")) as [Buffer];
  const [plain = "", tls = ""] = lines.toString().trim().split("\n");
  const headers = { authorization: "Bearer tok" };
  const pools = (await (
    await fetch(`${plain}/v1/view/storage-pools?storage_pools=fast`, { headers })
  ).json()) as Row[];
  t.deepEqual(
    pools.map((row) => [row["node_name"], row["provider_kind"], row["total_capacity"]]),
    [
      ["alpha", "ZFS_THIN", 65_536],
      ["beta", "ZFS_THIN", 65_536],
    ],
  );
  const ca = readFileSync(join(dir, "cert.pem"), "utf8");
  const status = await new Promise((resolve, reject) => {
    request(`${tls}/health`, { ca, agent: false }, (answer) => resolve(answer.statusCode))
      .on("error", reject)
      .end();
  });
  t.is(status, 200);
  const state = (await (await fetch(`${plain}/sim/state`)).json()) as { nodes: Row[]; behaviour: Row };
  t.deepEqual(
    state.nodes.map(({ name, dir: folder }) => [name, folder]),
    [
      ["alpha", "a"],
      ["beta", "beta"],
    ],
  );
  t.is(state.behaviour["version"], "1.31.2");
  child.kill("SIGTERM");
  t.deepEqual(await once(child, "exit"), [0, null]);
});

test("the command refuses what it does not understand, in one line", (t) => {
  for (const args of [
    ["--listen", "nowhere"],
    ["--node", "a:b:c"],
    ["--storage-pool", "a:TAPE"],
    ["--storage-pool", "a:LVM:many"],
    ["--group", "a:none"],
    ["--group", "a:2:TAPE"],
    ["--tls-port", "x"],
    ["--template", "a"],
    ["--set", "version=new"],
    ["--fault", "delay=2"],
    ["--devices", "/nowhere"],
  ]) {
    const { status, stderr, stdout } = spawnSync(process.execPath, [program, "sim", "linstor", ...args], {
      encoding: "utf8",
      timeout: 20_000,
    });
    t.is(status, 2, args.join(" "));
    t.regex(stderr, /^pve-blockio: [^\n]+\(invalid\)\n$/);
    t.is(stdout, "");
  }
});
