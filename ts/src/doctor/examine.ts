// SPDX-License-Identifier: AGPL-3.0-or-later
import { codeOf } from "../common/errors.js";
import { error, type Finding, findingOf, type Level, ok } from "../common/finding.js";
import { silentLogger } from "../common/log.js";
import type { Storages } from "../plugin/storage.js";
import { api } from "./api.js";
import { initiator, openIscsi, udev } from "./iscsi.js";
import { lvm } from "./lvm.js";
import type { Machine, Opened, Section } from "./machine.js";
import { multipath } from "./multipath.js";
import { plugin } from "./plugin.js";
import { portals } from "./portals.js";
import { isFor, service, versions } from "./service.js";
import { driver, leftovers, space } from "./storage.js";

/** How long one check may take, in milliseconds; all run at once. */
const usualLimitMs = 12_000;

/** A finding, about a storage or, without one, about the node. */
export interface Reported extends Finding {
  readonly storage?: string;
}

interface Check {
  readonly name: string;
  readonly storage?: string;
  run(signal: AbortSignal): Promise<readonly Finding[]>;
}

/**
 * Examines a node and these of its storages. Never throws, and ends in time: a check that does not is a finding by itself.
 */
export async function examine(
  machine: Machine,
  sections: readonly Section[],
  storages: Storages,
  limitMs = usualLimitMs,
): Promise<Reported[]> {
  const here = sections.filter(({ scfg }) => isFor(scfg, machine.node));
  const elsewhere = sections.filter((one) => !here.includes(one));
  const opened: Opened[] = [];
  const early: Check[] = [
    { name: "service", run: () => service(machine) },
    { name: "versions", run: () => versions(machine, sections) },
    { name: "plugin", run: () => plugin(machine, here) },
    ...here.map(
      ({ storeid, scfg }): Check => ({
        name: "section",
        storage: storeid,
        run: async (signal) => {
          const storage = storages.open(storeid, scfg);
          const needs = await storage.driver.upkeep?.needs({ signal, log: silentLogger });
          opened.push({ storeid, scfg, storage, needs: needs ?? { api: [] } });
          return [];
        },
      }),
    ),
  ];
  const first = await all(early, limitMs);
  const second = await all(
    [...ofNode(machine, opened), ...opened.flatMap((one) => ofStorage(machine, one))],
    limitMs,
  );
  const notHere = elsewhere.map(
    ({ storeid }): Reported => ({ ...ok("section", "not for this node"), storage: storeid }),
  );
  return [...first, ...second, ...notHere];
}

/** The worst level of a report. */
export function worst(findings: readonly Finding[]): Level {
  return (["error", "warning"] as const).find((level) => findings.some((one) => one.level === level)) ?? "ok";
}

/** What the storages need of the node. */
function ofNode(machine: Machine, opened: readonly Opened[]): Check[] {
  const iscsi = opened.flatMap(({ needs }) => needs.iscsi ?? []);
  const disks = opened.flatMap(({ needs }) => needs.disks ?? []);
  const checks: Check[] = [];
  if (iscsi.length > 0)
    checks.push(
      { name: "open-iscsi", run: () => openIscsi(machine) },
      { name: "initiator", run: () => initiator(machine) },
      { name: "udev", run: () => udev(machine) },
    );
  if (iscsi.some((one) => one.multipath))
    checks.push({
      name: "multipathd",
      run: () =>
        multipath(
          machine,
          iscsi.flatMap(({ vendors }) => vendors),
        ),
    });
  if (disks.length > 0) checks.push({ name: "lvm", run: () => lvm(machine, disks) });
  return checks;
}

function ofStorage(machine: Machine, one: Opened): Check[] {
  const { storeid: storage, needs } = one;
  const reached = needs.iscsi?.portals ?? [];
  return [
    ...(needs.api.length > 0
      ? [{ name: "address", storage, run: (signal: AbortSignal) => api(needs.api, signal, needs.oneApi) }]
      : []),
    ...(reached.length > 0
      ? [{ name: "portals", storage, run: (signal: AbortSignal) => portals(reached, signal) }]
      : []),
    { name: "array", storage, run: (signal) => driver(one, signal) },
    { name: "space", storage, run: (signal) => space(one, signal) },
    { name: "leftovers", storage, run: () => leftovers(machine, one) },
  ];
}

async function all(checks: readonly Check[], limitMs: number): Promise<Reported[]> {
  const found = await Promise.all(
    checks.map(async (check) => {
      const findings = await bounded(check, limitMs);
      return findings.map(
        (one): Reported => (check.storage === undefined ? one : { ...one, storage: check.storage }),
      );
    }),
  );
  return found.flat();
}

/** Ends at the limit, whatever the check is still waiting for. */
async function bounded({ name, run }: Check, limitMs: number): Promise<readonly Finding[]> {
  const signal = AbortSignal.timeout(limitMs);
  const late = new Promise<readonly Finding[]>((resolve) => {
    // Soon after the signal, which lets a check say what it waits for.
    setTimeout(() => {
      const text = `not done within ${limitMs / 1000} s`;
      resolve([error(name, text, "something hangs there: look at dmesg and at the network, then repeat")]);
    }, limitMs + 500).unref();
  });
  const body = async () => {
    try {
      return await run(signal);
    } catch (thrown) {
      const known = codeOf(thrown) === "invalid" && name === "section" ? "section" : name;
      return [findingOf(known, thrown)];
    }
  };
  return Promise.race([body(), late]);
}
