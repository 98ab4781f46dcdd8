// SPDX-License-Identifier: AGPL-3.0-or-later
// The suites in the order in which they run. Directories below tests/ with an executable `run` are found by
// themselves: such a suite ends with `N passed, N failed[, N skipped]`. When it cannot run here it says `skip: reason`
// and skips all its tests or exits with status 77. Neighbours that mostly wait (`waits`) run at the same time.
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromCargo, fromLastLine, fromTap } from "./counts.mjs";

const isRoot = process.getuid?.() === 0;
const CARGO_TEST = ["cargo", "test", "--workspace", "--locked", "--no-fail-fast"];
// Tests whose names start so need root (sudo_) or make loop devices (loop_).
const ROOT_TEST = /#\[test\]\s+(?:#\[[^\]]*\]\s+)*fn (?:sudo|loop)_\w+\(/;

function filesBelow(directory, ending) {
  if (!existsSync(directory)) return [];
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((e) => e.isFile() && e.name.endsWith(ending))
    .map((e) => join(e.parentPath ?? e.path, e.name));
}

function hasRootTests() {
  return filesBelow("crates", ".rs").some((file) => ROOT_TEST.test(readFileSync(file, "utf8")));
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function scriptSuites() {
  const names = existsSync("tests") ? readdirSync("tests").sort() : [];
  return names
    .filter((name) => isExecutable(`tests/${name}/run`))
    .map((name) => ({ name, tier: 2, command: [`tests/${name}/run`], read: fromLastLine }));
}

function avaSuite(name, tier, ...patterns) {
  return { name, tier, command: ["node_modules/.bin/ava", "--tap", ...patterns], read: fromTap };
}

function perlSuite(name, switches) {
  return {
    name,
    tier: 1,
    waits: true,
    command: ["perl", "tools/run-tests/prove.pl", ...switches, "perl/t"],
    read: fromLastLine,
  };
}

export function allSuites() {
  const rootTests = {
    name: "rust-root",
    tier: 2,
    command: [...CARGO_TEST, "--", "sudo_", "loop_", "--include-ignored", "--test-threads=1"],
    read: fromCargo,
    leftOut: isRoot ? undefined : "needs root (loop devices, mounts)",
  };
  return [
    {
      name: "lint",
      tier: 1,
      command: ["tools/lint.sh", "quick"],
      read: fromLastLine,
      onlyFailuresCount: true,
    },
    {
      name: "runner",
      tier: 1,
      command: [process.execPath, "--test", "--test-reporter=spec", "tools/run-tests/test/"],
      read: fromTap,
      onlyFailuresCount: true,
    },
    {
      name: "rust",
      tier: 1,
      command: [...CARGO_TEST, "--", "--skip", "sudo_", "--skip", "loop_"],
      read: fromCargo,
    },
    {
      ...avaSuite("ava", 1, "build/test/*.test.js", "build/test/!(arrays|conformance|sim)/**/*.test.js"),
      waits: true,
    },
    perlSuite("perl", []),
    perlSuite("perl-taint", ["-T"]),
    // Drivers on simulated arrays, with faults and limits of time.
    avaSuite("arrays", 2, "build/test/{arrays,sim}/**/*.test.js"),
    avaSuite("conformance", 2, "build/test/conformance/**/*.test.js"),
    ...(hasRootTests() ? [rootTests] : []),
    ...scriptSuites(),
    // Last, as they take longest and build on all that the others prove.
    {
      name: "lab-selftest",
      tier: 3,
      command: ["lab/selftest"],
      read: fromLastLine,
      onlyFailuresCount: true,
    },
    { name: "lab", tier: 3, command: ["lab/test"], read: fromLastLine },
    {
      name: "lab-connect",
      tier: 3,
      // User-mode Linux panics when the Node of a newer release starts a program.
      command: [
        "env",
        "LAB_TESTS=lab/connect",
        "LAB_RESULTS=build/lab-connect",
        "lab/test",
        "--release",
        "bookworm",
      ],
      read: fromLastLine,
    },
  ];
}
