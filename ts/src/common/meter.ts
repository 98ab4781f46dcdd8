// SPDX-License-Identifier: AGPL-3.0-or-later

/** Upper bounds of the buckets of durations, in seconds: a probe has four, an ordinary change sixty. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** Combinations of labels that one metric keeps; a defect must not fill the memory. */
const mostSeries = 5_000;

export type Labels = Readonly<Record<string, string>>;

interface Series {
  readonly labels: Labels;
  value: number;
  /** Of durations: how many there were below each bound, and of all. */
  readonly counts: number[];
  count: number;
}

interface Metric {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly series: Map<string, Series>;
}

/** What the service counts, told in Prometheus' text format. */
export class Meter {
  readonly #metrics = new Map<string, Metric>();
  readonly #read = new Map<
    string,
    { readonly kind: "gauge" | "counter"; readonly help: string; read(): number | [Labels, number][] }
  >();

  /** Declares a counter, so that it is shown with 0 before anything was counted. */
  counter(name: string, help: string): (labels: Labels, by?: number) => void {
    const metric = this.#declare(name, "counter", help);
    return (labels, by = 1) => {
      const one = series(metric, labels);
      if (one) one.value += by;
    };
  }

  /** Declares a histogram of durations in seconds. */
  histogram(name: string, help: string): (labels: Labels, seconds: number) => void {
    const metric = this.#declare(name, "histogram", help);
    return (labels, seconds) => {
      const one = series(metric, labels);
      if (!one) return;
      one.value += seconds;
      one.count++;
      bounds.forEach((bound, index) => {
        if (seconds <= bound) one.counts[index] = (one.counts[index] ?? 0) + 1;
      });
    };
  }

  /** Declares something that is read when it is asked for. */
  gauge(
    name: string,
    help: string,
    read: () => number | [Labels, number][],
    kind: "gauge" | "counter" = "gauge",
  ): void {
    this.#read.set(name, { kind, help, read });
  }

  /** Everything, as https://prometheus.io/docs/instrumenting/exposition_formats/ describes it. */
  text(): string {
    const lines: string[] = [];
    for (const [name, { kind, help, series: all }] of this.#metrics) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`);
      for (const one of all.values())
        lines.push(...(kind === "histogram" ? buckets(name, one) : [plain(name, one.labels, one.value)]));
    }
    for (const [name, { kind, help, read }] of this.#read) {
      const found = read();
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`);
      for (const [labels, value] of typeof found === "number" ? [[{}, found] as const] : found)
        lines.push(plain(name, labels, value));
    }
    return `${lines.join("\n")}\n`;
  }

  #declare(name: string, kind: Metric["kind"], help: string): Metric {
    const metric = this.#metrics.get(name) ?? { kind, help, series: new Map() };
    this.#metrics.set(name, metric);
    return metric;
  }
}

function series(metric: Metric, labels: Labels): Series | undefined {
  const key = JSON.stringify(labels);
  const known = metric.series.get(key);
  if (known || metric.series.size >= mostSeries) return known;
  const made = { labels, value: 0, counts: bounds.map(() => 0), count: 0 };
  metric.series.set(key, made);
  return made;
}

function buckets(name: string, { labels, value, counts, count }: Series): string[] {
  return [
    ...bounds.map((bound, index) =>
      plain(`${name}_bucket`, { ...labels, le: String(bound) }, counts[index] ?? 0),
    ),
    plain(`${name}_bucket`, { ...labels, le: "+Inf" }, count),
    plain(`${name}_sum`, labels, value),
    plain(`${name}_count`, labels, count),
  ];
}

function plain(name: string, labels: Labels, value: number): string {
  const inside = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  return `${name}${inside.length > 0 ? `{${inside.join(",")}}` : ""} ${value}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
