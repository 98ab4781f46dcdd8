// SPDX-License-Identifier: AGPL-3.0-or-later
import { randomUUID } from "node:crypto";
import { closeSync, existsSync, openSync, readdirSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { killService, randomFrom, send, startService } from "../lib/bridge.mjs";

const [socket, path, reflink] = process.argv.slice(2);
const rounds = Number(process.env["CRASH_ROUNDS"] ?? 100);
const seed = Number(process.env["CRASH_SEED"] ?? Date.now() % 1e6);
const random = randomFrom(seed);
const pick = (list) => list[Math.floor(random() * list.length)];
const scfg = { type: "blockio", path, content: { images: true } };

/** What must be there: volume name to its mark, size and the marks of its snapshots. */
const model = new Map();
let marks = 0;

function fileOf(volname, snap) {
  const [vmid, name] = volname.split("/");
  return snap ? join(path, "images", vmid, ".snap", name, snap) : join(path, "images", vmid, name);
}

/** Data that tells one state of a volume from all others. */
function mark(volname) {
  const value = `mark ${++marks}`.padEnd(64);
  const fd = openSync(fileOf(volname), "r+");
  writeSync(fd, value, 0);
  closeSync(fd);
  return value;
}

function readMark(file) {
  const buffer = Buffer.alloc(64);
  const fd = openSync(file, "r");
  readSync(fd, buffer, 0, 64, 0);
  closeSync(fd);
  return buffer.toString();
}

const isBase = (volname) => volname.includes("/base-");
const vmids = [100, 101, 102, 103];
const volumes = () => [...model.keys()];
const plain = () => volumes().filter((volname) => !isBase(volname));
const withoutSnapshots = () => plain().filter((volname) => model.get(volname).snapshots.size === 0);

/** The operations: what is sent, and what it changes in the model. None when it is not possible right now. */
const operations = {
  allocNamed() {
    const vmid = pick(vmids);
    const name = `vm-${vmid}-data${++marks}.raw`;
    return {
      method: "alloc_image",
      args: { vmid, format: "raw", name, size: "1048576" },
      apply: () => created(`${vmid}/${name}`, 1048576),
    };
  },
  alloc() {
    const vmid = pick(vmids);
    return {
      method: "alloc_image",
      args: { vmid, format: "raw", name: null, size: "1048576" },
      apply: ({ volname }) => created(volname, 1048576),
    };
  },
  free() {
    const volname = pick(volumes());
    return volname && { method: "free_image", args: { volname }, apply: () => model.delete(volname) };
  },
  resize() {
    const volname = pick(plain());
    if (!volname) return undefined;
    const size = model.get(volname).size + 4096 * (1 + Math.floor(random() * 100));
    return {
      method: "volume_resize",
      args: { volname, size: String(size), running: 0 },
      apply: () => {
        model.get(volname).size = size;
      },
    };
  },
  rename() {
    const volname = pick(withoutSnapshots());
    if (!volname) return undefined;
    const vmid = pick(vmids.filter((other) => !volname.startsWith(`${other}/`)));
    return {
      method: "rename_volume",
      args: { volname, vmid, name: null },
      apply: (result) => {
        model.set(result.volname, model.get(volname));
        model.delete(volname);
      },
    };
  },
  createBase() {
    const volname = pick(withoutSnapshots());
    return (
      volname && {
        method: "create_base",
        args: { volname },
        apply: (result) => {
          model.set(result.volname, model.get(volname));
          model.delete(volname);
        },
      }
    );
  },
  snapshot() {
    const volname = pick(plain());
    if (!volname) return undefined;
    const snap = `s${++marks}`;
    return {
      method: "volume_snapshot",
      args: { volname, snap },
      apply: () => {
        const { mark: value, size, snapshots } = model.get(volname);
        snapshots.set(snap, { mark: value, size });
        // What is written from now on must not show in the snapshot.
        model.get(volname).mark = mark(volname);
      },
    };
  },
  snapshotDelete() {
    const [volname, snap] = pick(allSnapshots()) ?? [];
    return (
      volname && {
        method: "volume_snapshot_delete",
        args: { volname, snap },
        apply: () => model.get(volname).snapshots.delete(snap),
      }
    );
  },
  rollback() {
    const [volname, snap] = pick(allSnapshots()) ?? [];
    return (
      volname && {
        method: "volume_snapshot_rollback",
        args: { volname, snap },
        apply: () => Object.assign(model.get(volname), model.get(volname).snapshots.get(snap)),
      }
    );
  },
  clone() {
    const sources = [...volumes().filter(isBase).map((volname) => [volname, null]), ...allSnapshots()];
    const [volname, snap] = pick(sources) ?? [];
    if (!volname) return undefined;
    return {
      method: "clone_image",
      args: { volname, vmid: pick(vmids), snap },
      apply: (result) => {
        const source = snap ? model.get(volname).snapshots.get(snap) : model.get(volname);
        model.set(result.volname, { mark: source.mark, size: source.size, snapshots: new Map() });
      },
    };
  },
};

if (reflink !== "yes") {
  for (const name of ["snapshot", "snapshotDelete", "rollback", "clone"]) delete operations[name];
}

function allSnapshots() {
  return volumes().flatMap((volname) => [...model.get(volname).snapshots.keys()].map((snap) => [volname, snap]));
}

function created(volname, size) {
  model.set(volname, { mark: mark(volname), size, snapshots: new Map() });
}

/** Everything below the storage's directory, compared with the model. */
function differences() {
  const wrong = [];
  const expected = new Set();
  const check = (file, { mark: value, size }) => {
    expected.add(file);
    if (!existsSync(file)) wrong.push(`missing: ${file}`);
    else if (statSync(file).size !== size) wrong.push(`size ${statSync(file).size}, not ${size}: ${file}`);
    else if (readMark(file) !== value) wrong.push(`holds '${readMark(file).trim()}', not '${value.trim()}': ${file}`);
  };
  for (const [volname, state] of model) {
    check(fileOf(volname), state);
    for (const [snap, old] of state.snapshots) check(fileOf(volname, snap), old);
  }
  const walk = (dir) => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      const file = join(dir, entry.name);
      if (entry.isDirectory()) walk(file);
      else if (!expected.has(file)) wrong.push(`left over: ${file}`);
    }
  };
  walk(path);
  return wrong;
}

let service = await startService(socket);
const base = { storeid: "crash", scfg };
const prepared = await send(socket, { ...base, method: "activate_storage" });
if (prepared.error) throw new Error(prepared.error.message);
for (let i = 0; i < 4; i++) {
  const { method, args, apply } = operations.alloc();
  apply((await send(socket, { ...base, method, args })).result);
}

let failed = 0;
let interrupted = 0;
let done = 0;
const times = {};
for (let round = 1; round <= rounds; round++) {
  let operation;
  let name;
  while (!operation) {
    name = pick(Object.keys(operations));
    operation = operations[name]();
  }
  const { method, args, apply } = operation;
  const request = { ...base, method, args, request: randomUUID() };
  const started = performance.now();
  let took;
  const first = send(socket, request).then(
    (reply) => {
      took = performance.now() - started;
      return reply;
    },
    () => undefined,
  );
  // Kills are spread over the time that such an operation takes, and a little beyond.
  await sleep(0);
  const wait = random() * (times[name] ?? 8) * 1.2;
  while (performance.now() - started < wait) await new Promise((resolve) => setImmediate(resolve));
  await killService(service);
  const answer = await first;
  if (answer) {
    done++;
    times[name] = Math.max(1, took);
  } else interrupted++;
  service = await startService(socket);
  const again = answer ?? (await send(socket, request));
  if (again.error) {
    failed++;
    console.log(`not ok ${round} ${name} ${JSON.stringify(args)}: ${again.error.code}: ${again.error.message}`);
    continue;
  }
  apply(again.result);
  const wrong = differences();
  if (wrong.length > 0) {
    failed++;
    console.log(`not ok ${round} ${name} ${JSON.stringify(args)} (seed ${seed})\n  ${wrong.join("\n  ")}`);
    break;
  }
}

// At the end everything can be freed and nothing is left, not even a directory.
for (const volname of volumes()) {
  const { error } = await send(socket, { ...base, method: "free_image", args: { volname } });
  if (error) {
    failed++;
    console.log(`not ok free ${volname}: ${error.message}`);
  }
}
model.clear();
const left = readdirSync(join(path, "images"));
for (const wrong of [...differences(), ...left.map((name) => `directory left over: ${name}`)]) {
  failed++;
  console.log(`not ok at the end: ${wrong}`);
}
await killService(service, "SIGTERM");
console.log(`${rounds} operations, ${interrupted} cut off by the kill, ${done} answered before it (seed ${seed})`);
if (interrupted < rounds / 5) {
  failed++;
  console.log("not ok: too few operations were cut off for this to prove anything");
}
console.log(`${rounds - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
