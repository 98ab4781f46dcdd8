// SPDX-License-Identifier: AGPL-3.0-or-later
// The licence texts of what is linked into the bundle and the addon; most licences ask that they go along.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const LICENCE_FILE = /^(licen[cs]e|copying|notice|unlicense)/i;

// Where there is a choice between licences, the MIT one is taken: it is short and goes with ours.
function licenceTexts(directory) {
  const files = readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isFile() && LICENCE_FILE.test(entry.name))
    .map((entry) => entry.name)
    .sort();
  const mit = files.filter((name) => /mit/i.test(name));
  return (mit.length > 0 ? mit : files).map((name) => readFileSync(join(directory, name), "utf8").trim());
}

function section({ name, version, license, directory }) {
  const texts = licenceTexts(directory);
  // Some crates publish only the SPDX expression; their text is the one of that name.
  const body = texts.length > 0 ? texts.join("\n\n") : `Licence: ${license}`;
  return `${"=".repeat(100)}\n${name} ${version} (${license})\n\n${body}\n`;
}

/** npm packages of which esbuild took at least one file into the bundle. */
function bundledPackages(metafiles) {
  const outputs = metafiles.flatMap((metafile) => Object.values(metafile.outputs));
  const taken = outputs.flatMap((output) =>
    Object.entries(output.inputs).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : [])),
  );
  const directories = taken.map((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
  return [...new Set(directories.filter(Boolean))].map((directory) => {
    const { name, version, license } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
    return { name, version, license, directory };
  });
}

/** Crates that the addon is linked from: normal dependencies for this machine, without what only runs at build time. */
function linkedCrates() {
  const host = /^host: (.*)$/m.exec(execFileSync("rustc", ["-vV"], { encoding: "utf8" }))?.[1];
  const args = ["metadata", "--locked", "--all-features", "--format-version", "1", "--filter-platform", host];
  const { packages, resolve, workspace_members } = JSON.parse(
    execFileSync("cargo", args, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 }),
  );
  const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
  const macros = packages.filter(({ targets }) => targets.some(({ kind }) => kind.includes("proc-macro")));
  const buildOnly = new Set(macros.map(({ id }) => id));
  const linked = new Set();
  const pending = [...workspace_members];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    if (linked.has(id) || buildOnly.has(id)) continue;
    linked.add(id);
    const normal = nodes.get(id).deps.filter((dep) => dep.dep_kinds.some(({ kind }) => kind === null));
    pending.push(...normal.map((dep) => dep.pkg));
  }
  return packages
    .filter(({ id, source }) => source !== null && linked.has(id))
    .map(({ name, version, license, manifest_path }) => ({
      name,
      version,
      license,
      directory: dirname(manifest_path),
    }));
}

export function thirdPartyLicences(metafiles) {
  const parts = [...bundledPackages(metafiles), ...(existsSync("Cargo.lock") ? linkedCrates() : [])];
  const intro = "Software of others in the bundles (*.cjs) and in blockio.node, with its licences.\n";
  return [intro, ...parts.map(section)].join("\n");
}
