// SPDX-License-Identifier: AGPL-3.0-or-later
// Bundles the TypeScript side into dist/pve-blockio.cjs and what that loads on demand into files beside it, then lets the bundle print dist/manifest.json.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { thirdPartyLicences } from "./licences.mjs";

const BUNDLE = "dist/pve-blockio.cjs";
/** What is loaded on demand, by the import that loads it: a stream must not wait for the service to be compiled. */
const PARTS = {
  "./service.js": { source: "ts/src/cli/service.ts", file: "service.cjs" },
  "../../sim/storpool/index.js": { source: "ts/sim/storpool/index.ts", file: "sim-storpool.cjs" },
  "../../sim/linstor/index.js": { source: "ts/sim/linstor/index.ts", file: "sim-linstor.cjs" },
  "../../sim/joviandss/index.js": { source: "ts/sim/joviandss/index.ts", file: "sim-joviandss.cjs" },
};
const { version } = JSON.parse(readFileSync("package.json", "utf8"));

// The version check comes before everything else: an old Node would fail later, in the middle of a storage operation.
// A CommonJS file has no import.meta.url, so the bundle gets one; the addon lies beside it.
const banner = `/*! pve-blockio ${version} | SPDX-License-Identifier: AGPL-3.0-or-later */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 18)) {
  process.stderr.write("pve-blockio: Node 20.18 or newer is needed, this is " + process.versions.node + "\\n");
  process.exit(1);
}
const __bundleUrl = require("node:url").pathToFileURL(__filename).href;`;

const parts = {
  name: "parts",
  setup({ onResolve }) {
    onResolve({ filter: /./ }, ({ kind, path }) => {
      if (kind !== "dynamic-import") return undefined;
      const part = PARTS[path];
      if (!part) throw new Error(`import("${path}"): not one of the parts`);
      return { path: `./${part.file}`, external: true };
    });
  },
};

async function bundle(source, outfile) {
  const { metafile } = await build({
    entryPoints: [source],
    outfile,
    plugins: [parts],
    bundle: true,
    platform: "node",
    // A file is named by where it is in the tree, not by where a link leads: the bundle depends on its content alone.
    preserveSymlinks: true,
    target: "node20",
    format: "cjs",
    external: ["*.node"],
    define: { "import.meta.url": "__bundleUrl", PVE_BLOCKIO_VERSION: JSON.stringify(version) },
    banner: { js: banner },
    legalComments: "eof",
    sourcemap: "external",
    metafile: true,
    logLevel: "warning",
  });
  return metafile;
}

// Through a temporary name: a reader of the manifest never sees half a file.
function replaceFile(path, text) {
  writeFileSync(`${path}.tmp`, text);
  renameSync(`${path}.tmp`, path);
}

function printManifest() {
  const text = execFileSync(process.execPath, [BUNDLE, "manifest"], { encoding: "utf8" });
  const manifest = JSON.parse(text);
  if (manifest.version !== 1 || Object.keys(manifest.types ?? {}).length === 0) {
    throw new Error(`${BUNDLE} manifest: expected version 1 with at least one type`);
  }
  return text;
}

mkdirSync("dist", { recursive: true });
const outputs = [["ts/src/cli/main.ts", BUNDLE]];
for (const { source, file } of Object.values(PARTS)) outputs.push([source, `dist/${file}`]);
const metafiles = [];
for (const [source, outfile] of outputs) metafiles.push(await bundle(source, outfile));
replaceFile("dist/third-party-licences.txt", thirdPartyLicences(metafiles));
for (const [what, file] of [
  ["man", "pve-blockio.1"],
  ["completion", "pve-blockio.bash"],
])
  replaceFile(
    `dist/${file}`,
    execFileSync(process.execPath, [BUNDLE, "generate", what], { encoding: "utf8" }),
  );
replaceFile("dist/manifest.json", printManifest());
