// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { eventually } from "../eventually.js";

const program = "build/src/cli/main.js";
const node = hostname().split(".")[0] ?? "localhost";

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A service with a storage on a directory, and commands that ask it. */
async function start(t: ExecutionContext) {
  const dir = mkdtempSync(join(tmpdir(), "blockio-care-"));
  const socket = join(dir, "s");
  const config = join(dir, "storage.cfg");
  const path = join(dir, "srv");
  mkdirSync(join(dir, "pve/nodes", node), { recursive: true });
  mkdirSync(join(path, "images/100"), { recursive: true });
  writeFileSync(
    config,
    `dir: local\n\tpath /var/lib/vz\n\nblockio: fast\n\tpath ${path}\n\tcontent images\n\nblockio: off\n\tpath /nowhere\n\tdisable\n`,
  );
  const env = {
    ...process.env,
    PVE_BLOCKIO_SOCKET: socket,
    PVE_BLOCKIO_CLUSTER_DIR: join(dir, "pve"),
    PVE_BLOCKIO_RUN: join(dir, "run"),
  };
  const service: ChildProcess = spawn(process.execPath, [program, "serve", "--socket", socket], {
    stdio: "ignore",
    env,
  });
  t.teardown(() => {
    service.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  });
  const run = (...args: string[]) =>
    new Promise<Ended>((resolve) => {
      execFile(process.execPath, [program, ...args], { env }, (error, stdout, stderr) =>
        resolve({ status: typeof error?.code === "number" ? error.code : 0, stdout, stderr }),
      );
    });
  for (let n = 0; n < 200 && (await run("status")).status !== 0; n++) await sleep(50);
  return { dir, config, path, service, run };
}

test("doctor examines, and its exit status is that of its worst finding", async (t) => {
  const { config, service, run } = await start(t);
  const { status, stdout } = await run("doctor", "--config", config, "--json");
  const report = JSON.parse(stdout) as {
    level: string;
    findings: { check: string; level: string; storage?: string }[];
  };
  t.is(status, ["ok", "warning", "error"].indexOf(report.level));
  t.true(report.findings.some(({ check, level }) => check === "service" && level === "ok"));
  t.true(report.findings.some(({ storage, check }) => storage === "fast" && check === "leftovers"));
  t.false(report.findings.some(({ storage }) => storage === "off" || storage === "local"));
  service.kill("SIGKILL");
  const text = await run("doctor", "--config", config);
  t.is(text.status, 2);
  t.regex(text.stdout, /^ERROR {3}node .*: service: .*\n {8}do: systemctl enable --now pve-blockio\.socket/m);
  t.regex(text.stdout, /\n[0-9]+ well, [0-9]+ warnings, [0-9]+ errors\n$/);
  const unknown = await run("doctor", "local", "--config", config);
  t.regex(unknown.stderr, /'local' is no storage of pve-blockio's types/);
});

test("sweep lists, and removes only with --yes", async (t) => {
  const { config, path, run } = await start(t);
  t.is((await run("sweep", "fast", "--config", config)).stdout, "nothing is left over\n");
  const old = join(path, `images/100/.subvol-100-disk-0.subvol.${node}.trash`);
  const young = join(path, `images/100/.subvol-100-disk-1.subvol.${node}.trash`);
  for (const one of [old, young]) mkdirSync(one);
  utimesSync(old, 1_700_000_000, 1_700_000_000);
  const listed = await run("sweep", "fast", "--config", config);
  t.is(listed.status, 0);
  t.regex(listed.stdout, /^STORAGE +KIND +NAME +WHY +KEPT BECAUSE\n/);
  t.regex(listed.stdout, /disk-0.*trash .* -$/m);
  t.regex(listed.stdout, /disk-1.*younger than an hour/);
  t.true(existsSync(old));
  const { stdout } = await run("sweep", "fast", "--yes", "--json", "--config", config);
  t.deepEqual(
    (JSON.parse(stdout) as { name: string; result?: string }[])
      .map(({ name, result }) => [name, result])
      .sort(),
    [
      [old, "removed"],
      [young, undefined],
    ],
  );
  t.deepEqual([existsSync(old), existsSync(young)], [false, true]);
});

test("a storage that cannot be looked at does not keep sweep from the others", async (t) => {
  const { config, run } = await start(t);
  const { status, stdout, stderr } = await run("sweep", "--config", config);
  t.is(status, 7);
  t.regex(stderr, /'\/nowhere' does not exist.*\(unreachable\)/);
  t.is(stdout, "nothing is left over where it could be looked at\n");
});

test("metrics and the record for other nodes come from the service", async (t) => {
  const { dir, config, run } = await start(t);
  await run("list", "fast", "--config", config);
  const { status, stdout } = await run("metrics");
  t.is(status, 0);
  t.regex(stdout, /^pve_blockio_calls_total\{storage="fast",method="list_images",result="ok"\} 1$/m);
  const record = join(dir, "pve/nodes", node, "pve-blockio.json");
  t.true(await eventually(() => existsSync(record)));
  const said = JSON.parse(readFileSync(record, "utf8")) as { version: string; protocol: number };
  t.is(said.protocol, 1);
  t.regex(stdout, new RegExp(`pve_blockio_info\\{version="${said.version}"`));
});

test("log refuses what is no number and no time, and starts nothing", async (t) => {
  const { run } = await start(t);
  for (const [args, says] of [
    [[], /name one storage/],
    [["fast", "--lines", "many"], /'many' is not a number/],
    [["fast", "--since=$(id)"], /is no time/],
    [["fast", "--since=--vacuum-size=1"], /is no time/],
  ] as const) {
    const { status, stderr } = await run("log", ...args);
    t.is(status, 2);
    t.regex(stderr, says);
  }
});
