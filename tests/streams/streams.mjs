// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, openSync, closeSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { killService, randomFrom, send, startService } from "../lib/bridge.mjs";

const [work, array] = process.argv.slice(2);
const root = process.getuid() === 0;
const cli = "bin/pve-blockio";
const seed = Number(process.env["STREAM_SEED"] ?? Date.now() % 1e6);
const random = randomFrom(seed);
const MiB = 1024 * 1024;

let passed = 0;
let failed = 0;
let skipped = 0;

async function test(title, body) {
  const problems = [];
  const check = (good, what) => {
    if (!good) problems.push(what);
  };
  try {
    await body(check);
  } catch (error) {
    problems.push(error.stack);
  }
  if (problems.length === 0) passed++;
  else failed++;
  console.log(`${problems.length === 0 ? "ok" : "not ok"} - ${title}${problems.map((p) => `\n    ${p}`).join("")}`);
}

function skip(title, reason) {
  skipped++;
  console.log(`ok - ${title} # SKIP ${reason}`);
}

const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const fileHash = (path) => sha256(readFileSync(path));

function header(size) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(size));
  return bytes;
}

/** Runs `import` on the given bytes. */
function importBytes(args, input) {
  return spawnSync(cli, ["import", ...args], { input, encoding: "utf8", maxBuffer: 64 * MiB, timeout: 60_000 });
}

const errorLine = /^pve-blockio: .+ \(([a-z-]+)\)$/m;

function expectError(check, result, code, what) {
  check(result.status !== 0 && result.status !== null, `${what}: exit status ${result.status}, signal ${result.signal}`);
  const found = errorLine.exec(result.stderr)?.[1];
  check(found === code, `${what}: code ${found}, not ${code}: ${result.stderr.trim()}`);
  check(result.stdout === "", `${what}: printed '${result.stdout.trim()}' as if it had worked`);
}

// --- one image: 24 MiB with data, holes and an odd tail

const source = join(work, "source.raw");
const size = 24 * MiB + 512 * 3;
{
  writeFileSync(source, "");
  truncateSync(source, size);
  const fd = openSync(source, "r+");
  for (const [at, length] of [[0, 3 * MiB], [7 * MiB + 12_288, 5000], [16 * MiB, 4 * MiB], [size - 700, 700]]) {
    writeSync(fd, randomBytes(length), 0, length, at);
  }
  closeSync(fd);
}
const original = fileHash(source);
const payload = readFileSync(source);
const dir = join(work, "device");
mkdirSync(dir);
const target = join(dir, "target.raw");
const nothingLeft = (check, what) => check(readdirSync(dir).length === 0, `${what}: left ${readdirSync(dir)}`);

// --- a service with one storage

const socket = join(work, "bridge.sock");
const path = join(array, "store");
const scfg = { type: "blockio", path, content: { images: true } };
process.env["PVE_BLOCKIO_SOCKET"] = socket;
process.env["PVE_BLOCKIO_SCFG"] = JSON.stringify({ storeid: "st", scfg });
let service = await startService(socket);
const call = async (method, args = {}) => {
  const reply = await send(socket, { storeid: "st", scfg, method, args });
  if (reply.error) throw Object.assign(new Error(reply.error.message), { code: reply.error.code });
  return reply.result;
};
await call("activate_storage");
const filesOf = (vmid) => {
  const guest = join(path, "images", String(vmid));
  return existsSync(guest) ? readdirSync(guest) : [];
};
/** Whether data has arrived in a file of the guest. */
const arriving = (vmid) =>
  filesOf(vmid).some((name) => statSync(join(path, "images", String(vmid), name), { throwIfNoEntry: false })?.blocks > 0);

// --- what is right

await test("export and import give the same bytes and the same digest on both ends", (check) => {
  const sent = spawnSync(cli, ["export", "--device", source, "--digest"], { maxBuffer: 64 * MiB });
  check(sent.status === 0, `export: ${sent.stderr}`);
  check(sent.stdout.subarray(0, 8).equals(header(size)), "the header is the size");
  check(sent.stdout.length === size + 8, `the stream has ${sent.stdout.length} bytes`);
  const got = importBytes(["--device", target, "--digest"], sent.stdout);
  check(got.status === 0, `import: ${got.stderr}`);
  check(fileHash(target) === original, "the copy is identical");
  const digests = [sent.stderr.toString(), got.stderr].map((text) => /^sha256:([0-9a-f]{64}) (\d+) bytes$/m.exec(text));
  check(digests[0]?.[1] === original && digests[1]?.[1] === original, "both digests are that of the image");
  check(statSync(target).blocks * 512 < size, "holes stay holes");
  spawnSync("rm", ["-f", target]);
});

await test("a size that is not a multiple of 512 arrives exactly", (check) => {
  const data = randomBytes(100_001);
  const got = importBytes(["--device", target], Buffer.concat([header(data.length), data]));
  check(got.status === 0, got.stderr);
  check(readFileSync(target).equals(data), "the file is exactly the payload");
  spawnSync("rm", ["-f", target]);
});

await test("an existing file is not overwritten", (check) => {
  writeFileSync(target, "precious");
  expectError(check, importBytes(["--device", target], Buffer.concat([header(8), Buffer.from("whatever")])), "exists", "import");
  check(readFileSync(target, "utf8") === "precious", "the file is untouched");
  spawnSync("rm", ["-f", target]);
});

// --- damaged streams, to a file and into a storage

const damaged = [
  ["no header at all", Buffer.alloc(0), "invalid"],
  ["a header of 5 bytes", Buffer.alloc(5, 1), "invalid"],
  ["a garbage header", Buffer.concat([Buffer.alloc(8, 0xff), Buffer.alloc(1000)]), "invalid"],
  ["a size of 0", header(0), "invalid"],
  ["a payload that is one byte short", Buffer.concat([header(payload.length), payload.subarray(0, -1)]), "invalid"],
  ["a payload that ends in the middle", Buffer.concat([header(payload.length), payload.subarray(0, 9 * MiB)]), "invalid"],
  ["a payload that never comes", header(payload.length), "invalid"],
  ["a payload that is one byte long", Buffer.concat([header(payload.length), payload, Buffer.alloc(1)]), "invalid"],
  ["a payload that is much too long", Buffer.concat([header(MiB), payload]), "invalid"],
];
for (const [title, stream, code] of damaged) {
  await test(`${title}: nothing of it stays, neither file nor volume`, (check) => {
    expectError(check, importBytes(["--device", target], stream), code, "file");
    nothingLeft(check, "file");
    expectError(check, importBytes(["st:300/vm-300-disk-0.raw"], stream), code, "volume");
    check(filesOf(300).length === 0, `volume: left ${filesOf(300)}`);
  });
}

await test("an import into a storage gives the volume its exact content, under a free name if allowed", async (check) => {
  const stream = Buffer.concat([header(payload.length), payload]);
  const first = importBytes(["st:301/vm-301-disk-0.raw"], stream);
  check(first.stdout === "st:301/vm-301-disk-0.raw\n", `printed '${first.stdout}' ${first.stderr}`);
  check(fileHash(join(path, "images/301/vm-301-disk-0.raw")) === original, "the volume is identical");
  expectError(check, importBytes(["st:301/vm-301-disk-0.raw"], stream), "exists", "same name again");
  const second = importBytes(["--allow-rename", "st:301/vm-301-disk-0.raw"], stream);
  check(second.stdout === "st:301/vm-301-disk-1.raw\n", `printed '${second.stdout}'`);
  for (const volname of ["301/vm-301-disk-0.raw", "301/vm-301-disk-1.raw"]) await call("free_image", { volname });
});

// --- ends that go away

/** Starts `export | import` with our own pipe between; returns both children. */
function pipeline(exportArgs, importArgs) {
  const sender = spawn(cli, ["export", ...exportArgs], { stdio: ["ignore", "pipe", "pipe"] });
  const receiver = spawn(cli, ["import", ...importArgs], { stdio: [sender.stdout, "pipe", "pipe"] });
  sender.stdout.destroy();
  return [sender, receiver].map((child) => {
    const state = { child, stdout: "", stderr: "" };
    child.stdout?.on("data", (data) => (state.stdout += data));
    child.stderr.on("data", (data) => (state.stderr += data));
    state.ended = once(child, "close").then(([status, signal]) => Object.assign(state, { status, signal }));
    return state;
  });
}

await test("a reader that closes early is an error of the export, and the source is untouched", async (check) => {
  for (const bytes of [0, 4, 8, 5000, 2 * MiB]) {
    const sender = spawn(cli, ["export", "--device", source], { stdio: ["ignore", "pipe", "pipe"] });
    let stderr = "";
    sender.stderr.on("data", (data) => (stderr += data));
    let got = 0;
    if (bytes === 0) sender.stdout.destroy();
    sender.stdout.on("data", (data) => {
      got += data.length;
      if (got >= bytes) sender.stdout.destroy();
    });
    const [status] = await once(sender, "close");
    check(status !== 0 && errorLine.test(stderr), `after ${bytes} bytes: status ${status}: ${stderr.trim()}`);
  }
  check(fileHash(source) === original, "source untouched");
});

for (const signal of ["SIGTERM", "SIGKILL"]) {
  for (const victim of ["sender", "receiver"]) {
    await test(`${victim} ended by ${signal} at 12 random points: error, nothing left, source untouched`, async (check) => {
      let cut = 0;
      for (let round = 0; round < 12; round++) {
        const into = round % 2 === 0 ? ["--device", target] : ["st:302/vm-302-disk-0.raw"];
        // Slowed down to a second, so that the points lie within the stream: a sender whose last byte is in the pipe is right
        // to say success.
        const [sender, receiver] = pipeline(["--device", source, "--rate", "24M"], into);
        await sleep(random() * 700);
        (victim === "sender" ? sender : receiver).child.kill(signal);
        await Promise.all([sender.ended, receiver.ended]);
        const struck = victim === "sender" ? sender : receiver;
        if (struck.status === 0) {
          // It had finished before; then everything is complete.
          spawnSync("rm", ["-f", target]);
          await call("free_image", { volname: "302/vm-302-disk-0.raw" });
          continue;
        }
        cut++;
        check(receiver.status !== 0, `round ${round}: the receiver says success (${receiver.stderr})`);
        check(receiver.stdout === "", `round ${round}: the receiver names a volume`);
        if (victim === "sender" && receiver.status !== null) {
          check(errorLine.test(receiver.stderr), `round ${round}: no clear error: ${receiver.stderr}`);
        }
        if (victim === "receiver") check(sender.status !== 0, `round ${round}: the sender says success`);
        nothingLeft(check, `round ${round}`);
        // The service takes the import back when the connection ends; that is after the process is gone.
        for (let wait = 0; wait < 1500 && filesOf(302).length > 0; wait++) await sleep(20);
        check(filesOf(302).length === 0, `round ${round}: volume left: ${filesOf(302)}`);
      }
      check(cut >= 6, `only ${cut} of 12 were cut off`);
      check(fileHash(source) === original, "source untouched");
    });
  }
}

await test("a receiver that waits for a silent sender ends at once on SIGTERM", async (check) => {
  const receiver = spawn(cli, ["import", "--device", target], { stdio: ["pipe", "pipe", "pipe"] });
  receiver.stdin.write(Buffer.concat([header(size), Buffer.alloc(100)]));
  await sleep(400);
  const started = performance.now();
  receiver.kill("SIGTERM");
  const [status, signal] = await once(receiver, "close");
  // On a busy machine it may not have come so far as to catch the signal.
  check(status === 143 || signal === "SIGTERM", `status ${status}, signal ${signal}`);
  check(performance.now() - started < 5000, "it did not take long");
  nothingLeft(check, "afterwards");
});

await test("a sender that nobody reads ends at once on SIGTERM", async (check) => {
  const sender = spawn(cli, ["export", "--device", source], { stdio: ["ignore", "pipe", "pipe"] });
  // The pipe has something, and nobody takes it out.
  await once(sender.stdout, "readable");
  sender.kill("SIGTERM");
  const [status, signal] = await once(sender, "exit");
  sender.stdout.destroy();
  check(status === 143, `status ${status}, signal ${signal}`);
});

await test("the service restarts during an import: the import still succeeds", async (check) => {
  for (const signal of ["SIGTERM", "SIGKILL"]) {
    const [sender, receiver] = pipeline(["--device", source, "--rate", "20M"], ["st:303/vm-303-disk-0.raw"]);
    for (let wait = 0; wait < 1000 && !arriving(303); wait++) await sleep(10);
    check(arriving(303), `${signal}: the import has begun`);
    await killService(service, signal);
    service = await startService(socket);
    await Promise.all([sender.ended, receiver.ended]);
    check(receiver.status === 0, `${signal}: ${receiver.stderr}`);
    check(receiver.stdout === "st:303/vm-303-disk-0.raw\n", `${signal}: printed '${receiver.stdout}'`);
    check(fileHash(join(path, "images/303/vm-303-disk-0.raw")) === original, `${signal}: identical`);
    await call("free_image", { volname: "303/vm-303-disk-0.raw" });
  }
});

await test("without a service an import says so and leaves nothing", async (check) => {
  await killService(service, "SIGTERM");
  expectError(check, importBytes(["st:304/vm-304-disk-0.raw"], Buffer.concat([header(4), Buffer.from("abcd")])), "unreachable", "import");
  const sent = spawnSync(cli, ["export", "st:304/vm-304-disk-0.raw"], { encoding: "utf8" });
  expectError(check, sent, "unreachable", "export");
  service = await startService(socket);
});

await test("an absent source is absent, a directory is invalid", (check) => {
  expectError(check, spawnSync(cli, ["export", "--device", join(work, "no.raw")], { encoding: "utf8" }), "absent", "no file");
  expectError(check, spawnSync(cli, ["export", "--device", work], { encoding: "utf8" }), "invalid", "directory");
  expectError(check, spawnSync(cli, ["export", "st:305/vm-305-disk-0.raw"], { encoding: "utf8" }), "absent", "no volume");
});

// --- directories

const tree = join(work, "tree");
for (let number = 0; number < 300; number++) {
  const sub = join(tree, `d${number % 7}`, `e${number % 30}`);
  mkdirSync(sub, { recursive: true });
  writeFileSync(join(sub, `f${number}`), randomBytes(number * 200));
}
/** Names, kinds, permissions, times and contents below a directory. */
const picture = (at) =>
  spawnSync("sh", ["-c", "find . -printf '%P %y %m %U:%G %T@ %n %l\\n' | sort; find . -type f -exec sha256sum {} + | sort"], {
    cwd: at,
    encoding: "utf8",
    maxBuffer: 64 * MiB,
  }).stdout;
const treePicture = picture(tree);
const tarred = (...options) => ["--format", "tar+size", ...options];
const subvol = (vmid) => `st:${vmid}/subvol-${vmid}-disk-0.subvol`;

await test("a directory goes out and comes back", (check) => {
  const copy = join(dir, "copy");
  const both = `${cli} export --format tar+size --device ${tree} | ${cli} import --format tar+size --device ${copy}`;
  const got = spawnSync("bash", ["-c", both], { encoding: "utf8" });
  check(got.status === 0, got.stderr);
  check(picture(copy) === treePicture, "the tree is the same");
  spawnSync("rm", ["-rf", copy]);
  const sent = spawnSync(cli, ["export", ...tarred("--device", tree)], { maxBuffer: 64 * MiB }).stdout;
  for (const length of [0, 7, 8, 600, 5000, sent.length >> 1, sent.length - 10_240]) {
    expectError(check, importBytes(tarred("--device", copy), sent.subarray(0, length)), "invalid", `${length} bytes`);
    nothingLeft(check, `${length} bytes`);
  }
  const limited = Buffer.concat([header(4096), sent.subarray(8)]);
  expectError(check, importBytes(tarred("--device", copy), limited), "unsupported", "a size");
  nothingLeft(check, "a size");
  expectError(check, importBytes(tarred("--device", tree), sent), "exists", "a directory that is there");
  check(picture(tree) === treePicture, "source untouched");
});

for (const signal of ["SIGTERM", "SIGKILL"]) {
  for (const victim of ["sender", "receiver"]) {
    await test(`a directory's ${victim} ended by ${signal} at 6 random points: error, no volume is left`, async (check) => {
      let cut = 0;
      for (let round = 0; round < 6; round++) {
        const [sender, receiver] = pipeline(tarred("--device", tree, "--rate", "9M"), tarred(subvol(310)));
        await sleep(random() * 700);
        (victim === "sender" ? sender : receiver).child.kill(signal);
        await Promise.all([sender.ended, receiver.ended]);
        if ((victim === "sender" ? sender : receiver).status === 0) {
          await call("free_image", { volname: subvol(310).slice(3) });
          continue;
        }
        cut++;
        check(receiver.status !== 0, `round ${round}: the receiver says success (${receiver.stderr})`);
        check(receiver.stdout === "", `round ${round}: the receiver names a volume`);
        for (let wait = 0; wait < 1500 && filesOf(310).length > 0; wait++) await sleep(20);
        check(filesOf(310).length === 0, `round ${round}: left: ${filesOf(310)}`);
      }
      check(cut >= 3, `only ${cut} of 6 were cut off`);
      check(picture(tree) === treePicture, "source untouched");
    });
  }
}

await test("the service restarts during the import of a directory: the import still succeeds", async (check) => {
  for (const signal of ["SIGTERM", "SIGKILL"]) {
    const [sender, receiver] = pipeline(tarred("--device", tree, "--rate", "7M"), tarred(subvol(311)));
    const arrived = () =>
      filesOf(311).some((name) => name.endsWith(".import") && readdirSync(join(path, "images/311", name)).length > 0);
    for (let wait = 0; wait < 1000 && !arrived(); wait++) await sleep(10);
    check(arrived(), `${signal}: the import has begun`);
    await killService(service, signal);
    service = await startService(socket);
    await Promise.all([sender.ended, receiver.ended]);
    check(receiver.status === 0, `${signal}: ${receiver.stderr}`);
    check(receiver.stdout === `${subvol(311)}\n`, `${signal}: printed '${receiver.stdout}'`);
    check(picture(join(path, "images", subvol(311).slice(3))) === treePicture, `${signal}: identical`);
    await call("free_image", { volname: subvol(311).slice(3) });
    check(filesOf(311).length === 0, `${signal}: left: ${filesOf(311)}`);
  }
});

// --- what needs root: full disks and block devices

if (!root) {
  for (const title of ["a full disk", "block devices", "old data on a block device"]) skip(title, "needs root (mount, losetup)");
} else {
  const run = (...command) => {
    const result = spawnSync(command[0], command.slice(1), { encoding: "utf8" });
    if (result.status !== 0) throw new Error(`${command.join(" ")}: ${result.stderr}`);
    return result.stdout.trim();
  };

  await test("a full disk is no-space, and nothing is left on it", (check) => {
    const small = join(work, "small");
    mkdirSync(small);
    run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small);
    try {
      const dense = Buffer.concat([header(16 * MiB), randomBytes(16 * MiB)]);
      expectError(check, importBytes(["--device", join(small, "x.raw")], dense), "no-space", "file");
      check(readdirSync(small).length === 0, `left ${readdirSync(small)}`);
      process.env["PVE_BLOCKIO_SCFG"] = JSON.stringify({ storeid: "small", scfg: { type: "blockio", path: small } });
      expectError(check, importBytes(["small:100/vm-100-disk-0.raw"], dense), "no-space", "volume");
      const guest = join(small, "images/100");
      check(!existsSync(guest) || readdirSync(guest).length === 0, "no volume is left");
    } finally {
      process.env["PVE_BLOCKIO_SCFG"] = JSON.stringify({ storeid: "st", scfg });
      run("umount", small);
    }
  });

  const withLoop = async (bytes, body) => {
    const backing = join(work, "loop.img");
    writeFileSync(backing, randomBytes(MiB));
    truncateSync(backing, bytes);
    const device = run("losetup", "--find", "--show", backing);
    try {
      await body(device);
    } finally {
      run("losetup", "-d", device);
      run("rm", "-f", backing);
    }
  };

  await test("a block device goes out and comes back", (check) =>
    withLoop(32 * MiB, async (device) => {
      run("dd", `if=${source}`, `of=${device}`, "bs=1M", "conv=fsync", "status=none");
      const sent = spawnSync(cli, ["export", "--device", device], { maxBuffer: 64 * MiB });
      check(sent.stdout.subarray(0, 8).equals(header(32 * MiB)), "the size is the device's");
      check(sha256(sent.stdout.subarray(8)) === fileHash(device), "the payload is the device's content");
      const got = importBytes(["--device", target], sent.stdout);
      check(got.status === 0 && fileHash(target) === fileHash(device), `into a file: ${got.stderr}`);
      const back = spawnSync("bash", ["-c", `${cli} export --device ${target} | ${cli} import --device ${device}`], { encoding: "utf8" });
      check(back.status === 0 && fileHash(target) === fileHash(device), `back: ${back.stderr}`);
      run("rm", "-f", target);
    }));

  await test("old data on a block device never shows through the zeros of a stream", (check) =>
    withLoop(32 * MiB, async (device) => {
      writeFileSync(device, randomBytes(32 * MiB));
      const got = spawnSync("bash", ["-c", `${cli} export --device ${source} | ${cli} import --device ${device}`], { encoding: "utf8" });
      check(got.status === 0, got.stderr);
      const now = readFileSync(device);
      check(sha256(now.subarray(0, size)) === original, "the device holds exactly the stream");
    }));

  await test("a stream that is larger than the device is refused before anything is written", (check) =>
    withLoop(16 * MiB, async (device) => {
      const before = fileHash(device);
      const got = importBytes(["--device", device], Buffer.concat([header(payload.length), payload]));
      check(got.status !== 0 && errorLine.test(got.stderr), `status ${got.status}: ${got.stderr}`);
      check(fileHash(device) === before, "the device is untouched");
    }));
}

await killService(service, "SIGTERM");
console.log(`seed ${seed}`);
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exit(failed > 0 ? 1 : 0);
