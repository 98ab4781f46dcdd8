// SPDX-License-Identifier: AGPL-3.0-or-later
// Compares our streams with dd and cat in one run. See README.md.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { cases } from "./cases.mjs";
import { devices, files } from "./devices.mjs";
import { denseImage, sha256, sparseImage } from "./images.mjs";
import { sample, settle, shell } from "./measure.mjs";
import { csv, summarise, table } from "./report.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const tmpfsMagic = 0x01021994;

const help = `usage: run [--samples 5] [--dense GIB] [--sparse GIB] [--case NAME]... [--dir TMPFS] [--out DIR] [--settle S]
           [--addon] [--devices]
  --samples N   timed runs of each pipeline, after one warm-up (default 5)
  --dense GIB   size of the dense image (default 4), --sparse GIB of the sparse one (default 16)
  --case NAME   only this case: ${cases.map(({ name }) => name).join(", ")}
  --dir DIR     where the images lie, a tmpfs with room for twice the dense image (default /dev/shm)
  --out DIR     where results go (default build/benches/streams)
  --settle S    wait up to S seconds for an idle machine before each sample (default 0)
  --devices     read and write loop devices over the images, as attached volumes are (as root)
  --addon       call the addon from a few lines of script instead of bin/pve-blockio
`;

const { values } = parseArgs({
  options: {
    samples: { type: "string", default: "5" },
    dense: { type: "string", default: "4" },
    sparse: { type: "string", default: "16" },
    case: { type: "string", multiple: true },
    dir: { type: "string", default: "/dev/shm" },
    out: { type: "string", default: join(root, "build/benches/streams") },
    settle: { type: "string", default: "0" },
    addon: { type: "boolean", default: false },
    devices: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help) process.stdout.write(help);
else await main();

async function main() {
  if (statfsSync(values.dir).type !== tmpfsMagic) {
    process.stderr.write(`${values.dir} is no tmpfs: this measures its disk, not the streams\n`);
  }
  const scratch = mkdtempSync(join(values.dir, "pve-blockio-bench-"));
  const stop = () => {
    rmSync(scratch, { recursive: true, force: true });
    process.exit(130);
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  try {
    await runAll(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function runAll(scratch) {
  const wanted = cases.filter(({ name }) => values.case?.includes(name) ?? true);
  if (wanted.length === 0) throw new Error(`no case has that name\n${help}`);
  const images = makeImages(scratch, new Set(wanted.map(({ image }) => image)));
  const results = [];
  for (const one of wanted) {
    const place = values.devices ? devices() : files();
    let result;
    try {
      result = summarise(await measureCase(one, images[one.image], scratch, place));
    } finally {
      place.close();
    }
    process.stdout.write(`${table(result)}\n`);
    results.push(result);
  }
  mkdirSync(values.out, { recursive: true });
  const report = { machine: machine(), command: ["benches/streams/run", ...process.argv.slice(2)], results };
  writeFileSync(join(values.out, "results.json"), `${JSON.stringify(report, undefined, 1)}\n`);
  writeFileSync(join(values.out, "samples.csv"), csv(results));
  writeFileSync(join(values.out, "results.md"), results.map(table).join("\n"));
  const missed = results.flatMap(({ pipelines }) => pipelines.filter(({ goal, ratio }) => ratio < goal));
  const wrong = results.flatMap(({ pipelines }) => pipelines.filter(({ correct }) => correct === "WRONG"));
  process.stdout.write(
    `${missed.length} goals missed, ${wrong.length} wrong results; written to ${values.out}\n`,
  );
  if (wrong.length > 0) process.exitCode = 1;
}

function makeImages(scratch, names) {
  const gib = 2 ** 30;
  const images = {};
  const make = {
    dense: (path) => denseImage(path, Number(values.dense) * gib),
    sparse: (path) => sparseImage(path, Number(values.sparse) * gib, 0.05),
    small: (path) => denseImage(path, 8 << 20),
  };
  for (const name of names) {
    images[name] = join(scratch, `${name}.raw`);
    make[name](images[name]);
  }
  return images;
}

/** The pipelines take turns, so that a disturbance of the machine meets all of them. */
async function measureCase(one, image, scratch, place) {
  const bytes = statSync(image).size;
  const source = place.source(image);
  const target = place.target(join(scratch, "target.raw"), bytes);
  const environment = {
    SCRATCH: scratch,
    SOURCE: source,
    TARGET: target.path,
    OURS: values.addon ? `node ${join(here, "direct.mjs")}` : join(root, "bin/pve-blockio"),
  };
  const expected = await sha256(image);
  const pipelines = one.pipelines.map((pipeline) => ({ ...pipeline, samples: [], correct: "" }));
  for (const pipeline of pipelines) {
    sample(pipeline, environment, target);
    let found;
    if (pipeline.writes) found = await sha256(environment.TARGET);
    else if (pipeline.name === "ours") found = shell(one.check, environment).slice(0, 64);
    if (found !== undefined) pipeline.correct = found === expected ? "ok" : "WRONG";
  }
  for (let number = 0; number < Number(values.samples); number++) {
    for (const pipeline of pipelines) {
      await settle(Number(values.settle));
      pipeline.samples.push(sample(pipeline, environment, target));
    }
  }
  target.reset();
  return { name: one.name, title: one.title, bytes, pipelines };
}

function machine() {
  const run = (program, ...args) => execFileSync(program, args, { cwd: root, encoding: "utf8" }).trim();
  return {
    date: new Date().toISOString(),
    processors: `${cpus().length} x ${cpus()[0].model}`,
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    kernel: release(),
    node: process.version,
    dd: run("dd", "--version").split("\n")[0],
    product: JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version,
    commit: run("git", "rev-parse", "--short", "HEAD"),
    load: readFileSync("/proc/loadavg", "utf8").trim(),
  };
}
