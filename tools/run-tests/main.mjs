// SPDX-License-Identifier: AGPL-3.0-or-later
// Runs the test suites, neighbours that mostly wait at the same time, and ends with the line `N passed, N failed`.
//
// TIER=1        only the fast suites
// ONLY="a b"    only the suites of these names
import { mkdirSync, writeFileSync } from "node:fs";
import { failuresIn } from "./counts.mjs";
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

/** Suites that run at the same time; each alone unless it and its neighbour wait. */
function groupsOf(suites) {
  const groups = [];
  for (const suite of suites) {
    const last = groups.at(-1);
    if (suite.waits && last?.[0].waits) last.push(suite);
    else groups.push([suite]);
  }
  return groups;
}

async function runSuite(suite, alone) {
  const { name, onlyFailuresCount } = suite;
  if (suite.leftOut !== undefined) return { name, leftOut: suite.leftOut };
  const title = `\n--- ${name}\n`;
  if (alone) process.stdout.write(title);
  const started = performance.now();
  const run = await execute(suite, alone);
  if (!alone) process.stdout.write(`${title}${run.text}`);
  const outcome = verdict(run, suite.read);
  const seconds = (performance.now() - started) / 1000;
  const failures = outcome.failed > 0 ? failuresIn(run.text) : [];
  return { name, onlyFailuresCount, seconds, failures, ...outcome };
}

mkdirSync(LOG_DIRECTORY, { recursive: true });
const results = [];
for (const group of groupsOf(chosenSuites())) {
  results.push(...(await Promise.all(group.map((suite) => runSuite(suite, group.length === 1)))));
}
const total = totals(results);
process.stdout.write(`\n${report(results)}\n\n${totalLine(total)}\n`);
writeFileSync(`${LOG_DIRECTORY}/total`, `${totalLine(total)}\n`);
const nothingRan = results.every((result) => result.leftOut !== undefined);
process.exitCode = total.failed > 0 || nothingRan ? 1 : 0;
