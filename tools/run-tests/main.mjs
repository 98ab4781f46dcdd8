// SPDX-License-Identifier: AGPL-3.0-or-later
// Runs the test suites one after the other and ends with the line `N passed, N failed`.
//
// TIER=1        only the fast suites
// ONLY="a b"    only the suites of these names
import { mkdirSync, writeFileSync } from "node:fs";
import { execute, LOG_DIRECTORY } from "./execute.mjs";
import { report, totalLine, totals } from "./report.mjs";
import { allSuites } from "./suites.mjs";
import { verdict } from "./verdict.mjs";

function chosenSuites() {
  const suites = allSuites();
  const only = (process.env.ONLY ?? "").split(/[\s,]+/).filter(Boolean);
  const unknown = only.filter((name) => !suites.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    throw new Error(
      `no suite ${unknown.join(", ")}; there are: ${suites.map((suite) => suite.name).join(" ")}`,
    );
  }
  if (only.length > 0) return suites.filter((suite) => only.includes(suite.name));
  return process.env.TIER === "1" ? suites.filter((suite) => suite.tier === 1) : suites;
}

async function runSuite(suite) {
  const { name, onlyFailuresCount } = suite;
  if (suite.leftOut !== undefined) return { name, leftOut: suite.leftOut };
  process.stdout.write(`\n--- ${name}\n`);
  const started = performance.now();
  const outcome = verdict(await execute(suite), suite.read);
  return { name, onlyFailuresCount, seconds: (performance.now() - started) / 1000, ...outcome };
}

mkdirSync(LOG_DIRECTORY, { recursive: true });
const results = [];
for (const suite of chosenSuites()) results.push(await runSuite(suite));
const total = totals(results);
process.stdout.write(`\n${report(results)}\n\n${totalLine(total)}\n`);
writeFileSync(`${LOG_DIRECTORY}/total`, `${totalLine(total)}\n`);
const nothingRan = results.every((result) => result.leftOut !== undefined);
process.exitCode = total.failed > 0 || nothingRan ? 1 : 0;
