// SPDX-License-Identifier: AGPL-3.0-or-later
// Numbers into tables.

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function deviation(numbers) {
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  return Math.sqrt(numbers.reduce((sum, number) => sum + (number - mean) ** 2, 0) / numbers.length);
}

/** Adds median, deviation, throughput and the ratio to ours. */
export function summarise(result) {
  const ours = median(result.pipelines[0].samples.map((sample) => sample.seconds));
  for (const pipeline of result.pipelines) {
    const seconds = pipeline.samples.map((sample) => sample.seconds);
    pipeline.median = median(seconds);
    pipeline.deviation = deviation(seconds);
    pipeline.ratio = pipeline.median / ours;
    pipeline.mebibytes =
      Math.max(...pipeline.samples.flatMap((sample) => Object.values(sample.memory))) / 1024;
  }
  return result;
}

export function table(result) {
  const size = (result.bytes / 2 ** 30).toFixed(result.bytes < 2 ** 30 ? 3 : 0);
  const lines = [
    `### ${result.title} (${size} GiB)`,
    "",
    "| pipeline | median s | ± s | MiB/s | ours is faster by | goal | largest process MiB | written MiB | sha256 |",
    "|---|--:|--:|--:|--:|--:|--:|--:|---|",
  ];
  for (const {
    name,
    median: seconds,
    deviation: spread,
    ratio,
    goal,
    mebibytes,
    samples,
    correct,
  } of result.pipelines) {
    const written = samples[0].written === undefined ? "" : (samples[0].written / 2 ** 20).toFixed(0);
    const verdict = goal === undefined ? "" : `${goal} ${ratio >= goal ? "met" : "MISSED"}`;
    const cells = [
      name,
      seconds.toFixed(3),
      spread.toFixed(3),
      (result.bytes / 2 ** 20 / seconds).toFixed(0),
    ];
    cells.push(`${ratio.toFixed(2)}x`, verdict, mebibytes.toFixed(0), written, correct);
    lines.push(`| ${cells.join(" | ")} |`);
  }
  return `${lines.join("\n")}\n`;
}

/** One line per sample, for other tools. */
export function csv(results) {
  const lines = ["case,pipeline,sample,seconds,written,memory_kb"];
  for (const { name, pipelines } of results) {
    for (const pipeline of pipelines) {
      pipeline.samples.forEach(({ seconds, written, memory }, number) => {
        const kilobytes = Object.entries(memory).map(([process, value]) => `${process}=${value}`);
        lines.push(
          [name, `"${pipeline.name}"`, number, seconds, written ?? "", kilobytes.join(" ")].join(","),
        );
      });
    }
  }
  return `${lines.join("\n")}\n`;
}
