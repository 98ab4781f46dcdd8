// SPDX-License-Identifier: AGPL-3.0-or-later
// `pve-blockio` against GNU tar with the options that PVE gives it, sample by sample in turn.
import { spawnSync } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { settle, shell } from "../streams/measure.mjs";
import { median } from "../streams/report.mjs";

const { values } = parseArgs({
  options: {
    samples: { type: "string", default: "5" },
    files: { type: "string", default: "50000" },
    memory: { type: "string", default: "/dev/shm" },
    disk: { type: "string", default: "/var/tmp" },
    settle: { type: "string", default: "20" },
    only: { type: "string", default: "" },
    library: { type: "string" },
  },
});
const project = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const tar =
  "tar --one-file-system -p --sparse --numeric-owner --acls --xattrs --xattrs-include='user.*' " +
  "--xattrs-include=security.capability --warning=no-file-ignored --warning=no-xattr-write";
const whole = {
  export: (dir) => `"$OURS" export --format tar+size --no-progress --device ${dir}`,
  import: (dir) => `"$OURS" import --format tar+size --no-progress --device ${dir} >/dev/null`,
};
/** Without Node: the library's example, `cargo build --release --example archive`. */
const library = {
  export: (dir) => `${values.library} export ${dir} 2>/dev/null`,
  import: (dir) => `{ mkdir -m 700 ${dir} && ${values.library} import ${dir} 2>/dev/null; }`,
};
const ours = values.library === undefined ? whole : library;
const theirs = {
  export: (dir) => `${tar} -cf - -C ${dir} .`,
  import: (dir) => `{ mkdir ${dir} && ${tar} -C ${dir} -xf - && sync -f ${dir}; }`,
};
const environment = { OURS: join(project, "bin", "pve-blockio"), SCRATCH: values.memory };
const run = (command) => shell(command, environment);
const isRoot = process.getuid() === 0;

const memory = mkdtempSync(join(values.memory, "blockio-archives-"));
const disk = mkdtempSync(join(values.disk, "blockio-archives-"));
try {
  makeFiles(join(memory, "files"), Number(values.files));
  makeSparse(join(memory, "sparse"));
  run(`${theirs.export(join(memory, "files"))} >${memory}/files.tar`);
  run(`{ head -c 8 /dev/zero; cat ${memory}/files.tar; } >${memory}/files.stream`);
  const rows = [];
  const many = `${values.files} small files`;
  const files = join(memory, "files");
  rows.push(
    await compare(`${many} in memory, export`, 1.5, () => {}, [
      `${ours.export(files)} | cat >/dev/null`,
      `${theirs.export(files)} | cat >/dev/null`,
    ]),
  );
  const target = join(memory, "target");
  const empty = () => run(`rm -rf ${target}`);
  rows.push(
    await compare(`${many} in memory, import`, 1.3, empty, [
      `cat ${memory}/files.stream | ${ours.import(target)}`,
      `cat ${memory}/files.tar | ${theirs.import(target)}`,
    ]),
  );
  const onDisk = join(disk, "target");
  const emptyDisk = () => run(`rm -rf ${onDisk}; sync -f ${disk}`);
  rows.push(
    await compare(`${many} on a disk, import`, undefined, emptyDisk, [
      `cat ${memory}/files.stream | ${ours.import(onDisk)}`,
      `cat ${memory}/files.tar | ${theirs.import(onDisk)}`,
    ]),
  );
  run(`rm -rf ${onDisk}`);
  const sparse = join(memory, "sparse");
  rows.push(
    await compare("100 GiB with 1% of data, export", 3, () => {}, [
      `${ours.export(sparse)} | cat >/dev/null`,
      `${theirs.export(sparse)} | cat >/dev/null`,
    ]),
  );
  rows.push(
    await compare("100 GiB with 1% of data, export into import", undefined, empty, [
      `${ours.export(sparse)} | ${ours.import(target)}`,
      `${theirs.export(sparse)} | ${theirs.import(target)}`,
    ]),
  );
  empty();
  if (isRoot) rows.push(await cold(many, files));
  else say("left out: nothing in memory (needs root to mount a file system)");
  report(rows);
} finally {
  spawnSync("umount", ["-q", join(disk, "cold")]);
  rmSync(memory, { recursive: true, force: true });
  rmSync(disk, { recursive: true, force: true });
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

/** A file system of its own on a loop device that goes around the page cache, mounted anew before each sample. */
async function cold(many, files) {
  const at = join(disk, "cold");
  mkdirSync(at);
  const image = join(disk, "image");
  run(`truncate -s 2G ${image} && mkfs.ext4 -q ${image}`);
  const device = run(`losetup --find --show --direct-io=on ${image}`).trim();
  try {
    run(`mount ${device} ${at} && cp -a ${files} ${at}/files && umount ${at}`);
    const again = () => run(`umount -q ${at}; mount ${device} ${at}`);
    const row = await compare(`${many} on a disk, nothing in memory, export`, 2, again, [
      `${ours.export(join(at, "files"))} | cat >/dev/null`,
      `${theirs.export(join(at, "files"))} | cat >/dev/null`,
    ]);
    spawnSync("umount", ["-q", at]);
    return row;
  } finally {
    spawnSync("losetup", ["-d", device]);
  }
}

async function compare(title, goal, prepare, commands) {
  if (!title.includes(values.only)) return undefined;
  const seconds = [[], []];
  for (let sample = 0; sample < Number(values.samples); sample++) {
    for (const [number, command] of commands.entries()) {
      prepare();
      await settle(Number(values.settle));
      const start = process.hrtime.bigint();
      run(command);
      seconds[number].push(Number(process.hrtime.bigint() - start) / 1e9);
    }
  }
  const [mine, other] = seconds.map(median);
  say(`${title}: ${mine.toFixed(2)} s, GNU tar ${other.toFixed(2)} s`);
  return { title, goal, mine, other };
}

function report(rows) {
  say("\n| what | ours s | GNU tar s | ratio | goal |\n| --- | --: | --: | --: | --- |");
  for (const { title, goal, mine, other } of rows.filter((row) => row !== undefined)) {
    const ratio = other / mine;
    const verdict = goal === undefined ? "" : `${goal}x ${ratio >= goal ? "met" : "MISSED"}`;
    say(`| ${title} | ${mine.toFixed(2)} | ${other.toFixed(2)} | ${ratio.toFixed(2)}x | ${verdict} |`);
  }
}

/** Small files, a hundred to a directory, of 0.2 to 12 KiB. */
function makeFiles(dir, count) {
  const sizes = [200, 1000, 3000, 6000, 12_000];
  for (let number = 0; number < count; number++) {
    const sub = join(dir, `d${Math.floor(number / 2000)}`, `s${Math.floor(number / 100)}`);
    if (number % 100 === 0) mkdirSync(sub, { recursive: true });
    writeFileSync(join(sub, `file${number}`), Buffer.alloc(sizes[(number * 7) % 5], number % 251));
  }
}

/** Pieces of 64 KiB, evenly spread. */
function makeSparse(dir) {
  mkdirSync(dir);
  const fd = openSync(join(dir, "image"), "w");
  const size = 100 * 2 ** 30;
  const piece = Buffer.alloc(64 << 10, 7);
  const pieces = Math.round(size / 100 / piece.length);
  ftruncateSync(fd, size);
  for (let number = 0; number < pieces; number++) {
    writeSync(fd, piece, 0, piece.length, Math.floor((size / pieces) * number));
  }
  closeSync(fd);
}
