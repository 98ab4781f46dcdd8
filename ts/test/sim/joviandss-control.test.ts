// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test, { type ExecutionContext } from "ava";
import { eventually } from "../eventually.js";
import { iqn, session } from "./joviandss.js";

const program = "build/src/cli/main.js";

test("control requests show state, journal and check, order faults, change switches and addresses", async (t) => {
  const s = await session(t, { control: true });
  await s.volume("v_a");
  const sim = async (verb: string, path: string, body?: unknown) => {
    const { status, text } = await s.raw(verb, `/sim/${path}`, body, { address: "127.0.0.2" });
    return { status, data: JSON.parse(text) as unknown };
  };
  t.like((await sim("GET", "state")).data, { pools: [{ name: "Pool-0", volumes: [{ name: "v_a" }] }] });
  t.like((await sim("GET", "journal")).data, [
    { request: "volumeCreate", outcome: "ok", address: "127.0.0.1" },
  ]);
  t.deepEqual((await sim("GET", "check")).data, []);
  t.like((await sim("POST", "behaviour", { errors: "legacy" })).data, { errors: "legacy" });
  t.like((await sim("POST", "faults", { inject: [{ kind: "scst", on: "poolGet" }] })).data, {
    pending: [{ kind: "scst" }],
  });
  t.is((await sim("POST", "faults", { inject: [{ kind: "none" }] })).status, 400);
  t.regex((await s.raw("GET", "pools/Pool-0")).text, /ScstAdminError/);
  await sim("POST", "addresses/127.0.0.1", { state: "refusing" });
  const gone = () =>
    s.ask("GET", "").then(
      () => false,
      () => true,
    );
  t.true(await eventually(gone));
  t.is((await sim("POST", "addresses/127.0.0.9", { state: "open" })).status, 400);
  t.is((await sim("GET", "nothing")).status, 404);
});

/** Runs the command, and gives what it printed first. */
async function start(t: ExecutionContext, args: readonly string[], env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [program, "sim", "joviandss", ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  const lines: string[] = [];
  const ended = new Promise((resolve) => child.once("exit", resolve));
  for await (const line of createInterface(child.stdout)) {
    lines.push(line);
    if (lines.length === 2) break;
  }
  return { child, lines, ended };
}

test("the command listens at several addresses, writes its certificate, tells a program, and ends on a signal", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "blockio-joviandss-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const [certificate, tool, said] = ["ca.pem", "targets", "said"].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(tool, `#!/bin/sh\necho "$@" >> ${said}\n[ "$1" = sessions ] && echo '[]'\ncat >> ${said}\n`);
  chmodSync(tool, 0o755);
  const args = [
    "--listen",
    "127.0.0.1,127.0.0.3:0",
    "--pool",
    "P1:1G",
    "--vip",
    "10.0.0.1",
    "--data",
    join(dir, "data"),
  ];
  const { child, lines, ended } = await start(t, [...args, "--certificate", certificate, "--targets", tool], {
    JOVIANDSS_PASSWORD: "from-environment",
  });
  const [first = "", second = ""] = lines;
  t.regex(first, /^https:\/\/127\.0\.0\.1:[0-9]+$/);
  t.is(second, first.replace("0.0.1", "0.0.3"));
  const ask = (verb: string, path: string, body = "") =>
    new Promise<string>((resolve, reject) => {
      const headers = { "content-length": Buffer.byteLength(body) };
      const options = {
        method: verb,
        ca: readFileSync(certificate),
        auth: "admin:from-environment",
        agent: false,
        headers,
      };
      const sent = request(`${second}/api/v4/pools/${path}`, options, (answer) => {
        let text = "";
        answer.on("data", (part: Buffer) => {
          text += part.toString();
        });
        answer.on("end", () => resolve(text));
      });
      sent.on("error", reject);
      sent.end(body);
    });
  t.regex(await ask("GET", "P1"), /"size":"1073741824"/);
  await ask("POST", "P1/san/iscsi/targets", JSON.stringify({ name: iqn }));
  const [command, document = ""] = readFileSync(said, "utf8").split("\n");
  t.is(command, "apply");
  t.like(JSON.parse(document), { iqn, portals: ["10.0.0.1:3260"], luns: [] });
  t.regex(await ask("GET", `P1/san/iscsi/targets/${iqn}/sessions`), /"data":\[\]/);
  child.kill("SIGTERM");
  t.is(await ended, 0);
  t.regex(readFileSync(said, "utf8"), /close\n$/);
  t.false(existsSync(join(dir, "data", "joviandss-sim.pid")));
});

for (const [title, args, says] of [
  ["an unknown simulator", ["netapp"], /joviandss, linstor, storpool/],
  ["an option of another simulator", ["joviandss", "--token", "x"], /--token is not an option of joviandss/],
  ["a name instead of an address", ["joviandss", "--listen", "localhost:1"], /is not an IP address/],
  ["an unknown switch", ["joviandss", "--set", "colour=1"], /--set/],
] as const) {
  test(`refused with one line: ${title}`, (t) => {
    const { status, stderr } = spawnSync(process.execPath, [program, "sim", ...args], { encoding: "utf8" });
    t.is(status, 2);
    t.regex(stderr, says);
    t.is(stderr.trim().split("\n").length, 1);
  });
}
