// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { killService, send, startService } from "../lib/bridge.mjs";

const [work, array] = process.argv.slice(2);
let passed = 0;
let failed = 0;
let skipped = 0;

async function test(title, body) {
  const problems = [];
  try {
    await body((good, what) => {
      if (!good) problems.push(what);
    });
  } catch (error) {
    problems.push(error.stack);
  }
  if (problems.length === 0) passed++;
  else failed++;
  console.log(`${problems.length === 0 ? "ok" : "not ok"} - ${title}${problems.map((p) => `\n    ${p}`).join("")}`);
}

function run(...command) {
  const result = spawnSync(command[0], command.slice(1), { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`${command.join(" ")}: ${result.stderr}`);
}

const socket = join(work, "bridge.sock");
const healthyPath = join(work, "healthy");
mkdirSync(healthyPath);
const section = (path) => ({ type: "blockio", path, content: { images: true } });
const service = await startService(socket);

async function timed(storeid, path, method, args = {}, deadlineMs = undefined) {
  const started = performance.now();
  const reply = await send(socket, { storeid, scfg: section(path), method, args, deadlineMs });
  return { ...reply, ms: performance.now() - started };
}

const healthy = (method, args) => timed("healthy", healthyPath, method, args);
const files = (path) => (existsSync(path) ? readdirSync(path, { recursive: true }) : []);
await healthy("activate_storage");

await test("40 allocations on a frozen file system end at their deadline, other storages do not notice", async (check) => {
  const path = join(array, "store");
  await timed("frozen", path, "activate_storage");
  run("fsfreeze", "--freeze", array);
  let replies;
  try {
    const pending = Array.from({ length: 40 }, (_, n) =>
      timed("frozen", path, "alloc_image", { vmid: 100 + n, format: "raw", size: "1048576" }, 5000),
    );
    await sleep(300);
    for (let n = 0; n < 5; n++) {
      const other = await healthy("alloc_image", { vmid: 100 + n, format: "raw", size: "1048576" });
      check(other.result && other.ms < 3000, `healthy storage took ${other.ms} ms: ${JSON.stringify(other.error)}`);
    }
    const status = await timed("frozen", path, "status");
    check(status.ms < 5000, `status of the frozen storage took ${status.ms} ms`);
    replies = await Promise.all(pending);
  } finally {
    run("fsfreeze", "--unfreeze", array);
  }
  for (const { error, ms } of replies) {
    check(error?.code === "timeout", `answered ${JSON.stringify(error)}`);
    check(ms < 10_000, `answered after ${ms} ms`);
  }
  // What was under way ends now, one way or the other; whatever exists is a whole volume that can be freed.
  let left;
  for (let wait = 0; wait < 150; wait++) {
    await sleep(200);
    const { result } = await timed("frozen", path, "list_images");
    for (const { volname, size } of result) {
      check(size === "1048576", `${volname} has ${size} bytes`);
      const freed = await timed("frozen", path, "free_image", { volname });
      check(freed.result?.existed === true, `free ${volname}: ${JSON.stringify(freed.error)}`);
    }
    left = files(join(path, "images")).filter((name) => !/^\d+$/.test(name));
    if (wait >= 5 && left.length === 0) break;
  }
  check(left.length === 0, `left: ${left}`);
});

if (spawnSync("which", ["fuse2fs"]).status !== 0) {
  skipped++;
  console.log("ok - a file server that stopped answering # SKIP fuse2fs is not installed");
} else {
  await test("a file server that stopped answering: unreachable at once, never absent, and back without a restart", async (check) => {
    const image = join(work, "served.img");
    const mount = join(work, "served");
    mkdirSync(mount);
    run("truncate", "-s", "64M", image);
    run("mkfs.ext4", "-q", "-F", image);
    const server = spawn("fuse2fs", ["-f", image, mount], { stdio: "ignore" });
    try {
      for (let n = 0; n < 100 && spawnSync("mountpoint", ["-q", mount]).status !== 0; n++) await sleep(50);
      const path = join(mount, "store");
      const served = (method, args, deadline) => timed("served", path, method, args, deadline);
      check(!(await served("activate_storage")).error, "activate");
      const { result: made } = await served("alloc_image", { vmid: 100, format: "raw", size: "1048576" });
      check(made?.volname === "100/vm-100-disk-0.raw", "alloc");
      server.kill("SIGSTOP");
      // The kernel may answer the first question from its cache; it must not for long.
      await sleep(1500);
      const replies = await Promise.all([
        served("status"),
        served("activate_storage"),
        served("list_images", {}),
        served("volume_size_info", { volname: "100/vm-100-disk-0.raw" }),
        served("free_image", { volname: "100/vm-100-disk-0.raw" }, 4000),
        served("capabilities"),
        ...Array.from({ length: 30 }, () => served("volume_size_info", { volname: "100/vm-100-disk-0.raw" })),
      ]);
      for (const { error, ms } of replies) {
        check(["unreachable", "timeout"].includes(error?.code), `answered ${JSON.stringify(error)}`);
        check(ms < 5000, `answered after ${ms} ms`);
      }
      const other = await healthy("status");
      check(other.result?.active === true && other.ms < 1000, `healthy storage took ${other.ms} ms`);
      server.kill("SIGCONT");
      let back;
      for (let n = 0; n < 50; n++) {
        back = await served("volume_size_info", { volname: "100/vm-100-disk-0.raw" });
        if (back.result || back.error.code === "absent") break;
        await sleep(100);
      }
      check(back.result?.size === "1048576", `after its return: ${JSON.stringify(back.error)}`);
    } finally {
      server.kill("SIGCONT");
      if (spawnSync("umount", [mount]).status !== 0) spawnSync("umount", ["-l", mount]);
      await sleep(200);
      server.kill("SIGKILL");
    }
  });
}

await killService(service, "SIGTERM");
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exit(failed > 0 ? 1 : 0);
