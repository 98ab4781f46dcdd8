// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { JovianSimulator } from "../../sim/joviandss/index.js";
import { Bridge } from "../../src/bridge/server.js";
import { BridgeClient } from "../../src/cli/client.js";
import { silentLogger } from "../../src/common/log.js";
import { Meter } from "../../src/common/meter.js";
import { Storages } from "../../src/plugin/storage.js";
import { eventually } from "../eventually.js";

async function start(t: ExecutionContext) {
  const dir = mkdtempSync(join(tmpdir(), "blockio-metrics-"));
  const socket = join(dir, "s");
  const bridge = new Bridge({
    storages: new Storages({ name: "node1" }),
    version: "9.9.9",
    log: silentLogger,
  });
  await bridge.listen(socket);
  const client = await BridgeClient.connect(socket);
  t.teardown(async () => {
    client.close();
    await bridge.stop();
    rmSync(dir, { recursive: true, force: true });
  });
  const read = async () => {
    const { text } = await client.call<{ text: string }>("metrics", undefined);
    return text;
  };
  return { dir, socket, client, read };
}

/** The values of a metric by its labels. */
function values(text: string, name: string): Record<string, number> {
  const lines = [...text.matchAll(new RegExp(`^${name}(\\{[^\\n]*\\})? ([0-9.e+-]+)$`, "gm"))];
  return Object.fromEntries(lines.map(([, labels = "", value]) => [labels, Number(value)]));
}

test("every metric has its help and its type before its first value", async (t) => {
  const { dir, client, read } = await start(t);
  await client.call("status", { storeid: "dir", scfg: { type: "blockio", path: dir } });
  const lines = (await read()).trimEnd().split("\n");
  const declared = new Set<string>();
  for (const line of lines) {
    const [, kind, name = ""] = /^# (HELP|TYPE) ([a-z_]+) \S/.exec(line) ?? [];
    if (kind === "HELP") declared.add(name);
    if (kind !== undefined) continue;
    const [, metric = ""] =
      /^([a-z_]+?)(?:_bucket|_sum|_count)?(?:\{(?:[a-z_]+="[^"\n]*",?)*\})? (?:[0-9.]+(?:e[+-]?[0-9]+)?)$/.exec(
        line,
      ) ?? [];
    t.true(declared.has(metric) || [...declared].some((one) => line.startsWith(one)), line);
  }
  t.true(declared.size > 12);
});

test("calls are counted by result, and timed", async (t) => {
  const { dir, client, read } = await start(t);
  const section = { storeid: "dir", scfg: { type: "blockio", path: dir } };
  await client.call("status", section);
  await client.call("status", section);
  await t.throwsAsync(client.call("volume_size_info", section, { volname: "100/vm-100-disk-0.raw" }));
  await t.throwsAsync(client.call("frobnicate", section));
  const text = await read();
  t.deepEqual(values(text, "pve_blockio_calls_total"), {
    '{storage="dir",method="status",result="ok"}': 2,
    '{storage="dir",method="volume_size_info",result="absent"}': 1,
    '{storage="",method="unknown",result="unsupported"}': 1,
  });
  const status = '{storage="dir",method="status"';
  t.is(values(text, "pve_blockio_call_seconds_count")[`${status}}`], 2);
  const buckets = Object.entries(values(text, "pve_blockio_call_seconds_bucket")).filter(([labels]) =>
    labels.startsWith(status),
  );
  t.is(buckets.at(-1)?.[0], `${status},le="+Inf"}`);
  t.is(buckets.at(-1)?.[1], 2);
  const counts = buckets.map(([, value]) => value);
  t.deepEqual(
    counts,
    counts.toSorted((a, b) => a - b),
    "buckets are cumulative",
  );
  t.is(values(text, "pve_blockio_connections")[""], 1);
});

test("streams are counted with their bytes, and as under way while their connection lasts", async (t) => {
  const { dir, socket, client, read } = await start(t);
  const section = { storeid: "dir", scfg: { type: "blockio", path: dir } };
  await client.call("alloc_image", section, { vmid: 100, format: "raw", name: null, size: "1048576" });
  const stream = await BridgeClient.connect(socket);
  await stream.call("volume_export", section, { volname: "100/vm-100-disk-0.raw" });
  const running = () =>
    read().then((text) => values(text, "pve_blockio_streams_running")['{direction="export"}']);
  t.is(await running(), 1);
  const report = { direction: "export", ended: "done", bytes: "1048576", seconds: 0.5 };
  await stream.call("stream_ended", section, report);
  await stream.call("stream_ended", section, { ...report, ended: "failed", bytes: "0" });
  await t.throwsAsync(stream.call("stream_ended", section, { ...report, bytes: "many" }), {
    message: /malformed/,
  });
  stream.close();
  t.true(await eventually(async () => (await running()) === 0));
  const text = await read();
  t.deepEqual(values(text, "pve_blockio_stream_bytes_total"), {
    '{storage="dir",direction="export"}': 1048576,
  });
  t.deepEqual(values(text, "pve_blockio_streams_total"), {
    '{storage="dir",direction="export",result="done"}': 1,
    '{storage="dir",direction="export",result="failed"}': 1,
  });
});

test("requests to an array are counted by outcome", async (t) => {
  const { dir, client, read } = await start(t);
  const sim = await JovianSimulator.start();
  t.teardown(() => sim.close());
  const section = {
    storeid: "jdss",
    scfg: {
      type: "joviandss",
      pool_name: "Pool-0",
      user_password: sim.password,
      ssl_cert_verify: 0,
      control_addresses: sim.addresses.join(","),
      control_port: sim.port,
      log_file: join(dir, "log"),
    },
  };
  await client.call("status", section);
  await t.throwsAsync(client.call("status", { ...section, scfg: { ...section.scfg, pool_name: "Pool-7" } }));
  const text = await read();
  const requests = values(text, "pve_blockio_array_requests_total");
  t.is(requests['{storage="jdss",outcome="data"}'], 1);
  t.true((requests['{storage="jdss",outcome="error"}'] ?? 0) >= 1);
  t.is(
    values(text, "pve_blockio_array_request_seconds_count")['{storage="jdss"}'],
    Object.values(requests).reduce((sum, value) => sum + value, 0),
  );
  t.false(text.includes(sim.password));
});

test("labels are escaped, and a metric does not grow without end", (t) => {
  const meter = new Meter();
  const count = meter.counter("x_total", "X.");
  count({ a: 'b"c\\d\ne' });
  t.true(meter.text().includes('x_total{a="b\\"c\\\\d\\ne"} 1\n'));
  for (let n = 0; n < 6_000; n++) count({ a: String(n) });
  t.is(meter.text().split("\n").length, 5_000 + 3);
});
