// SPDX-License-Identifier: AGPL-3.0-or-later
// Draws benches/figures.json as docs/benchmarks.svg. The figures are those that the named programs printed on the
// machine that the file names; repeat them there, write them down, and run this again.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;
const { machine, unit, figures } = JSON.parse(readFileSync(join(here, "figures.json"), "utf8"));

const [left, row, top, width] = [410, 26, 46, 300];
const most = Math.max(...figures.flatMap(({ ratio, goal }) => [ratio, goal]));
const x = (ratio) => left + (ratio / most) * width;
const height = top + figures.length * row + 44;
const text = (at, y, content, more = "") => `<text x="${at}" y="${y}" ${more}>${content}</text>`;
const escaped = (plain) => plain.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

const lines = [
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 ${height}" font-family="sans-serif" font-size="13">`,
  "<style>text { fill: #24292f } .bar { fill: #2f6f4f } .missed { fill: #b5651d } .mark { stroke: #24292f; stroke-dasharray: 3 3 }",
  "@media (prefers-color-scheme: dark) { text { fill: #d0d7de } .mark { stroke: #d0d7de } }</style>",
  text(8, 20, escaped(`pve-blockio: ${unit}`), 'font-weight="bold"'),
];
figures.forEach(({ what, peer, ratio, goal }, index) => {
  const y = top + index * row;
  lines.push(
    text(8, y + 13, escaped(what)),
    text(left - 8, y + 13, escaped(peer), 'text-anchor="end"'),
    `<rect class="${ratio >= goal ? "bar" : "missed"}" x="${left}" y="${y}" width="${(x(ratio) - left).toFixed(1)}" height="18"/>`,
    `<line class="mark" x1="${x(goal).toFixed(1)}" x2="${x(goal).toFixed(1)}" y1="${y - 3}" y2="${y + 21}"/>`,
    text(Math.max(x(ratio), x(goal)) + 6, y + 13, `${ratio}×`),
  );
});
lines.push(
  text(8, height - 26, "Dashed: the goal that was set beforehand."),
  text(8, height - 8, escaped(machine)),
  "</svg>",
);
writeFileSync(join(here, "../docs/benchmarks.svg"), `${lines.join("\n")}\n`);
