// SPDX-License-Identifier: AGPL-3.0-or-later

import { codeOf } from "../common/errors.js";
import { error, type Finding, findingOf, ok, warning } from "../common/finding.js";
import { silentLogger } from "../common/log.js";
import type { Machine, Opened } from "./machine.js";

/** Room that is left, in percent of all. */
const scarce = { warning: 10, error: 3 };

/** What the driver finds; without a part of its own whether the storage can be used. */
export async function driver({ storage }: Opened, signal: AbortSignal): Promise<Finding[]> {
  const ctx = { signal, log: silentLogger };
  const { upkeep } = storage.driver;
  try {
    if (upkeep) return await upkeep.diagnose(ctx);
    await storage.driver.check(ctx);
    return [ok("array", "the storage can be used")];
  } catch (thrown) {
    return [findingOf(codeOf(thrown) === "auth" ? "credentials" : "array", thrown)];
  }
}

export async function space({ storage, storeid }: Opened, signal: AbortSignal): Promise<Finding[]> {
  const capacity = await storage.driver.capacity({ signal, log: silentLogger }).catch(() => undefined);
  // Said by the other checks.
  if (!capacity) return [];
  const { total, available } = capacity;
  const percent = total === 0n ? 0 : Number((available * 1000n) / total) / 10;
  const text = `${percent} % of ${Number(total >> 30n)} GiB are free`;
  const remedy = `remove what is not needed (pvesm list ${storeid}; pve-blockio sweep ${storeid}), or add space on the array`;
  if (percent <= scarce.error) return [error("space", text, remedy)];
  return percent <= scarce.warning ? [warning("space", text, remedy)] : [ok("space", text)];
}

/** What is left, as the service sees it; a large array is not waited for. */
export async function leftovers(machine: Machine, { storeid, scfg }: Opened): Promise<Finding[]> {
  try {
    const found = await machine.leftovers({ storeid, scfg });
    if (found.length === 0) return [ok("leftovers", "none")];
    const kinds = [...new Set(found.map(({ kind }) => kind))].join(", ");
    return [
      warning(
        "leftovers",
        `${found.length} (${kinds})`,
        `pve-blockio sweep ${storeid} lists them, with --yes it removes them`,
      ),
    ];
  } catch (thrown) {
    if (codeOf(thrown) === "timeout")
      return [ok("leftovers", `too many objects for a quick look: pve-blockio sweep ${storeid}`)];
    // Neither service nor array: said by the other checks.
    return [];
  }
}
