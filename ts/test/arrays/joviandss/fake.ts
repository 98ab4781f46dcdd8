// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ExecutionContext } from "ava";
import { JovianSimulator, type SimulatorOptions } from "../../../sim/joviandss/index.js";
import type { Endpoint } from "../../../src/arrays/joviandss/call.js";
import { JoviandssClient } from "../../../src/arrays/joviandss/client.js";
import type { Context } from "../../../src/common/context.js";
import type { TransportLimits } from "../../../src/common/http/limits.js";
import { createLogger } from "../../../src/common/log.js";
import { Secret } from "../../../src/common/secret.js";

export const mib = 1024n * 1024n;
export const iqn = "iqn.2025-06.proxmox.pool-0:vm-100-0";
export const spec = { size: mib, thin: true, blockSize: "16K" };
export const access = { vips: ["vip0", "vip1"], chap: false };

/** Limits that do not keep a test waiting. */
export const quick: Partial<TransportLimits> = {
  connectMs: 1_000,
  queryMs: 2_000,
  commandMs: 2_000,
  querySilenceMs: 5_000,
  probeMs: 10_000,
  probeSilenceMs: 5_000,
  pausesMs: [5, 5, 5, 5, 5],
};

/** How a client differs from the usual one. */
export interface Differs {
  readonly endpoint?: Partial<Endpoint>;
  readonly limits?: Partial<TransportLimits>;
  readonly pool?: string;
}

/** A client of a simulator, with a context whose log is kept. */
export function connect(t: ExecutionContext, sim: JovianSimulator, differs: Differs = {}) {
  const endpoint: Endpoint = {
    addresses: sim.addresses,
    port: sim.port,
    user: sim.user,
    password: new Secret(sim.password),
    verify: true,
    ca: sim.certificate,
    ...differs.endpoint,
  };
  const client = new JoviandssClient(endpoint, differs.pool ?? "Pool-0", {
    limits: { ...quick, ...differs.limits },
    volumes: { resizeMs: 1_000, renameMs: 1_000, deleteMs: 2_000 },
    targetsMs: 1_000,
  });
  t.teardown(() => client.close());
  const lines: string[] = [];
  const ctx: Context = {
    signal: new AbortController().signal,
    log: createLogger({ level: "debug", write: (line) => lines.push(line) }),
  };
  return { client, ctx, lines };
}

/** A simulator and a client of it. The array must be sound when the test ends. */
export async function start(t: ExecutionContext, options: SimulatorOptions = {}, differs: Differs = {}) {
  const sim = await JovianSimulator.start(options);
  t.teardown(() => sim.close());
  return { sim, ...connect(t, sim, differs) };
}
