// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { codeOf } from "../../../src/common/errors.js";
import { silentLogger } from "../../../src/common/log.js";
import { Storages } from "../../../src/plugin/storage.js";
import { leftovers, removeLeftover } from "../../../src/plugin/sweep.js";

const ctx = { signal: new AbortController().signal, log: silentLogger };

function start(t: ExecutionContext) {
  const path = mkdtempSync(join(tmpdir(), "blockio-leftovers-"));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  const storage = new Storages({ name: "node-a" }).open("dir", {
    type: "blockio",
    path,
    content: { images: true },
  });
  const guest = join(path, "images/100");
  mkdirSync(guest, { recursive: true });
  return { storage, guest };
}

async function later<T>(body: () => Promise<T>): Promise<T> {
  const now = Date.now;
  Date.now = () => now() + 2 * 3_600_000;
  try {
    return await body();
  } finally {
    Date.now = now;
  }
}

test.serial("unfinished work of this node goes, that of others and everything else stays", async (t) => {
  const { storage, guest } = start(t);
  const ours = [".subvol-100-disk-0.subvol.node-a.trash", ".subvol-100-disk-1.subvol.node-a.copy"];
  const stays = [
    ".subvol-100-disk-0.subvol.node-b.trash",
    ".hidden",
    "notes.txt",
    ".x.node-a.trash2",
    ".x.nodeXa.trash",
  ];
  for (const name of [...ours, ...stays]) mkdirSync(join(guest, name, "deep"), { recursive: true });
  writeFileSync(join(guest, ".vm-100-disk-0.raw.node-a.importing"), "");
  mkdirSync(join(guest, ".snap/vm-100-disk-5.raw"), { recursive: true });
  writeFileSync(join(guest, ".snap/vm-100-disk-5.raw/one"), "data");
  await storage.driver.createVolume(ctx, storage.names.parse("100/vm-100-disk-6.raw"), 4096n);
  mkdirSync(join(guest, ".snap/vm-100-disk-6.raw"), { recursive: true });
  writeFileSync(join(guest, ".snap/vm-100-disk-6.raw/one"), "data");
  const young = await leftovers(storage, ctx);
  t.deepEqual(
    young.map(({ keep }) => keep === undefined).filter(Boolean).length,
    1,
    "only the mark of an import has no age",
  );
  const refused = young.find(({ keep }) => keep !== undefined);
  const error = await removeLeftover(storage, ctx, refused ?? { kind: "", name: "" }).catch(
    (thrown: unknown) => thrown,
  );
  t.is(codeOf(error), "refused");
  await later(async () => {
    const found = await leftovers(storage, ctx);
    t.deepEqual(found.map(({ kind, name, vmid }) => [kind, name.replace(`${guest}/`, ""), vmid]).sort(), [
      ["file", ".subvol-100-disk-0.subvol.node-a.trash", 100],
      ["file", ".subvol-100-disk-1.subvol.node-a.copy", 100],
      ["file", ".vm-100-disk-0.raw.node-a.importing", 100],
      ["snapshots", "100/vm-100-disk-5.raw", 100],
    ]);
    for (const one of found) await removeLeftover(storage, ctx, one);
    t.deepEqual(await leftovers(storage, ctx), []);
  });
  t.deepEqual(readdirSync(guest).sort(), [".snap", "vm-100-disk-6.raw", ...stays].sort());
  t.deepEqual(readdirSync(join(guest, ".snap")), ["vm-100-disk-6.raw"]);
});

test.serial("while an import runs on this node its files stay", async (t) => {
  const { storage, guest } = start(t);
  const mark = join(guest, ".vm-100-disk-0.raw.node-a.importing");
  writeFileSync(mark, "");
  // By its arguments it is one.
  const child = spawn("/bin/sh", ["-c", "echo; exec cat", "/usr/bin/pve-blockio", "import"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.teardown(() => child.kill());
  await once(child.stdout, "data");
  const running = spawn(
    process.execPath,
    ["-e", "process.stdin.resume(); console.log()", "/usr/lib/pve-blockio.cjs", "import"],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  t.teardown(() => running.kill());
  await once(running.stdout, "data");
  t.regex((await leftovers(storage, ctx))[0]?.keep ?? "", /an import runs/);
  child.kill();
  running.kill();
  await Promise.all([once(child, "exit"), once(running, "exit")]);
  const [found] = await leftovers(storage, ctx);
  t.is(found?.keep, undefined);
  await removeLeftover(storage, ctx, found ?? { kind: "", name: "" });
  t.false(existsSync(mark));
});
