// SPDX-License-Identifier: AGPL-3.0-or-later
import { constants } from "node:fs";
import { access, lstat, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, fail } from "../../common/errors.js";
import { error, type Finding, findingOf, ok, warning } from "../../common/finding.js";
import { native } from "../../common/native.js";
import type { DriverEnvironment, Leftover, NodeNeeds, VolumeRef } from "../contract.js";
import { checkMountpoint, type Probe, probe } from "./directory.js";
import { exists, namesIn, removeIfEmpty } from "./files.js";
import type { Layout } from "./layout.js";
import { removeSnapshots } from "./leftovers.js";

/** What is younger may be at work, in milliseconds. */
const settledAfterMs = 3_600_000;

export function needs(): NodeNeeds {
  // Nothing but the file system.
  return { api: [] };
}

export async function diagnose(layout: Layout): Promise<Finding[]> {
  const { path, mountpoint } = layout.section;
  let found: Probe;
  try {
    await checkMountpoint(layout);
    found = await probe(path);
  } catch (thrown) {
    return [findingOf("directory", thrown)];
  }
  const findings = [ok("directory", `'${path}' answers (${found.fsType})`)];
  const root = await probe("/");
  if (mountpoint === undefined && root.dev === found.dev && path !== "/")
    findings.push(
      warning(
        "mount",
        `'${path}' is on the root file system: a full storage stops the node`,
        "put it on a file system of its own and set is_mountpoint, so that nothing is written when that is not mounted",
      ),
    );
  const writable = await access(path, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!writable)
    findings.push(
      error(
        "directory",
        `'${path}' cannot be written`,
        "look at its permissions, and in dmesg why it is read-only",
      ),
    );
  else if (await native().reflinkSupported(path)) findings.push(ok("reflink", "snapshots and clones work"));
  else
    findings.push(
      warning(
        "reflink",
        `files on '${path}' (${found.fsType}) cannot share blocks: there are no snapshots and no linked clones`,
        "use XFS (reflink=1) or Btrfs where these are wanted",
      ),
    );
  return findings;
}

/** Unfinished work of this node's service, and snapshots without a volume. */
export async function leftovers(
  layout: Layout,
  { host, parse, compose }: DriverEnvironment,
): Promise<Leftover[]> {
  const found: Leftover[] = [];
  const importing = await importRuns();
  const hidden = new RegExp(
    `^\\.(.+)\\.${host.name.replaceAll(/[^A-Za-z0-9_-]/g, "\\$&")}\\.(trash|copy|import|importing)$`,
  );
  const refOf = (vmid: number, name: string): VolumeRef | undefined => {
    try {
      return parse(compose({ vmid, name }).volname);
    } catch (thrown) {
      if (codeOf(thrown) === "invalid") return undefined;
      throw thrown;
    }
  };
  const look = async (vmid: number, dir: string) => {
    for (const name of await namesIn(dir)) {
      const [, , what] = hidden.exec(name) ?? [];
      if (what === undefined) continue;
      const path = join(dir, name);
      const imported = what.startsWith("import");
      const keep = imported ? (importing ? { keep: "an import runs on this node" } : {}) : await young(path);
      const why = imported ? "of an import that has ended" : "unfinished work of this node";
      found.push({ kind: "file", name: path, vmid, why, ...keep });
    }
  };
  for (const owner of (await namesIn(layout.images)).filter((name) => /^[1-9]\d{2,8}$/.test(name))) {
    const vmid = Number(owner);
    await look(vmid, layout.guest(vmid));
    for (const name of await namesIn(layout.guestSnapshots(vmid))) {
      const ref = refOf(vmid, name);
      if (!ref) continue;
      await look(vmid, layout.snapshots(ref));
      if (await exists(layout.volume(ref))) continue;
      const why = `snapshots of '${ref.volname}', which is gone`;
      found.push({
        kind: "snapshots",
        name: ref.volname,
        vmid,
        why,
        ...(await young(layout.snapshots(ref))),
      });
    }
  }
  return found;
}

export async function removeLeftover(
  layout: Layout,
  environment: DriverEnvironment,
  { kind, name }: Leftover,
): Promise<void> {
  const again = (await leftovers(layout, environment)).find((one) => one.kind === kind && one.name === name);
  if (!again) return;
  if (again.keep !== undefined) throw fail("refused", `remove '${name}': ${again.keep}; repeat it later`);
  if (kind === "snapshots") {
    const ref = environment.parse(name);
    await removeSnapshots(layout, ref);
    await removeIfEmpty(layout.guest(ref.vmid));
    return;
  }
  if ((await lstat(name)).isDirectory()) await native().removeTree(name);
  else await rm(name, { force: true });
  await removeIfEmpty(layout.guest(again.vmid ?? 0));
}

async function young(path: string): Promise<{ keep?: string }> {
  const { mtimeMs } = await lstat(path);
  return Date.now() - mtimeMs < settledAfterMs
    ? { keep: "it is younger than an hour: it may be at work" }
    : {};
}

/** Whether a process of this node imports anything: which volume it is cannot be seen from outside. */
async function importRuns(): Promise<boolean> {
  for (const pid of (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    const words = line.split("\0");
    if (words.some((word) => /(?:^|\/)pve-blockio(?:\.cjs)?$/.test(word)) && words.includes("import"))
      return true;
  }
  return false;
}
