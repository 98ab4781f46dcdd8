// SPDX-License-Identifier: AGPL-3.0-or-later
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { Context } from "../../src/common/context.js";
import { fail } from "../../src/common/errors.js";
import { createLogger } from "../../src/common/log.js";
import type {
  DeviceLayer,
  DevicePath,
  FcTarget,
  FoundPaths,
  Hctl,
  IscsiSession,
  MultipathMap,
  NvmeController,
  NvmeNamespace,
  Stoppable,
} from "../../src/connectors/device-layer.js";

/** What stands for `iscsiadm`: keeps records and sessions in files, and writes down how it was called. */
const iscsiadm = `#!/bin/sh
root=$(dirname "$0")/../..
echo "$*" >>"$root/calls"
while [ $# -gt 0 ]; do
    case $1 in
    -T) iqn=$2; shift ;;
    -p) portal=$2; shift ;;
    -o) verb=$2; shift ;;
    --login | --logout) verb=\${1#--} ;;
    esac
    shift
done
address=\${portal%:*} address=\${address#[} address=\${address%]} port=\${portal##*:}
record=$root/var/lib/iscsi/nodes/$iqn/$address,$port,1
case $verb in
new)
    mkdir -p "$record"
    printf '# BEGIN RECORD\\nnode.name = %s\\nnode.startup = automatic\\nnode.session.scan = auto\\n# END RECORD\\n' "$iqn" >"$record/default"
    ;;
delete) rm -r "$record" && rmdir "$root/var/lib/iscsi/nodes/$iqn" 2>/dev/null ;;
login)
    how=$(grep -F "$portal " "$root/portals" | cut -d ' ' -f 2)
    case $how in
    refuses) exit 8 ;;
    rejects) exit 24 ;;
    silent) exec sleep 60 ;;
    esac
    echo "$iqn $portal" >>"$root/sessions"
    ;;
logout) grep -v "^$iqn " "$root/sessions" >"$root/sessions.new"; mv "$root/sessions.new" "$root/sessions" ;;
esac
`;

/** What stands for `nvme`. */
const nvme = `#!/bin/sh
root=$(dirname "$0")/../..
echo "nvme $*" >>"$root/calls"
verb=$1
while [ $# -gt 0 ]; do
    case $1 in
    -n) nqn=$2; shift ;;
    -a) address=$2; shift ;;
    -s) port=$2; shift ;;
    esac
    shift
done
case $verb in
connect)
    case $address in *:*) address="[$address]" ;; esac
    grep -qF "$address:$port refuses" "$root/portals" && exit 1
    echo "$nqn $address:$port" >>"$root/controllers"
    ;;
disconnect) grep -v "^$nqn " "$root/controllers" >"$root/controllers.new"; mv "$root/controllers.new" "$root/controllers" ;;
esac
exit 0
`;

interface Lun {
  wwid: string;
  size: bigint;
}

/** A node with a fake `iscsiadm` and a kernel that has what the targets export. */
export class FakeNode implements DeviceLayer {
  readonly log: string[] = [];
  /** Calls that change something, in order. */
  readonly changes: string[] = [];
  multipath: "running" | "off" | "silent" = "running";
  /** multipathd adds no path to a map. */
  stubborn = false;
  /** Hosts whose iSCSI session has lost its connection. */
  readonly lost = new Set<number>();
  /** By target, then LUN. */
  readonly exported = new Map<string, Map<number, Lun>>();
  readonly devices: DevicePath[] = [];
  readonly maps = new Map<string, MultipathMap>();
  /** Users by WWID. */
  readonly users = new Map<string, string>();
  /** Users of one path, by its name. */
  readonly usersOfDevice = new Map<string, string>();
  /** By port name. */
  readonly fabric = new Map<string, FcTarget[]>();
  /** By subsystem; seen while there is a connection, after a rescan where `hidden` says so. */
  readonly namespaces = new Map<string, (NvmeNamespace & { nguid: string; hidden?: boolean })[]>();
  /** State of every NVMe controller. */
  nvmeState = "live";
  #next = 0;

  private constructor(readonly root: string) {}

  static create(t: ExecutionContext): FakeNode {
    const root = mkdtempSync(join(tmpdir(), "blockio-node-"));
    t.teardown(() => rmSync(root, { recursive: true, force: true }));
    mkdirSync(join(root, "usr/sbin"), { recursive: true });
    writeFileSync(join(root, "usr/sbin/iscsiadm"), iscsiadm);
    chmodSync(join(root, "usr/sbin/iscsiadm"), 0o755);
    writeFileSync(join(root, "usr/sbin/nvme"), nvme);
    chmodSync(join(root, "usr/sbin/nvme"), 0o755);
    for (const name of ["portals", "sessions", "controllers", "calls"]) writeFileSync(join(root, name), "");
    return new FakeNode(root);
  }

  context(limitMs = 60_000): Context {
    const log = createLogger({ level: "debug", write: (line) => this.log.push(line) });
    const deadline = new AbortController();
    setTimeout(() => deadline.abort(fail("timeout", `not finished within ${limitMs} ms`)), limitMs).unref();
    return { signal: deadline.signal, log };
  }

  /** How logins at portals end; others succeed. */
  portals(how: Record<string, "refuses" | "rejects" | "silent">): void {
    const lines = Object.entries(how).map(([portal, what]) => `${portal} ${what}\n`);
    writeFileSync(join(this.root, "portals"), lines.join(""));
  }

  export(iqn: string, lun: number, wwid: string, size = 1n << 30n): void {
    const luns = this.exported.get(iqn) ?? new Map<number, Lun>();
    this.exported.set(iqn, luns.set(lun, { wwid, size }));
  }

  calls(): string[] {
    return readFileSync(join(this.root, "calls"), "utf8").split("\n").filter(Boolean);
  }

  record(iqn: string, entry: string): string {
    return readFileSync(join(this.root, "var/lib/iscsi/nodes", iqn, entry, "default"), "utf8");
  }

  hasRecords(iqn: string): boolean {
    return existsSync(join(this.root, "var/lib/iscsi/nodes", iqn));
  }

  async iscsiSessions(_root: string, targetName: string): Promise<IscsiSession[]> {
    const lines = readFileSync(join(this.root, "sessions"), "utf8").split("\n").filter(Boolean);
    return lines.flatMap((line, host) => {
      const [iqn = "", portal = ""] = line.split(" ");
      if (iqn !== targetName) return [];
      const luns = this.devices.filter(({ hctl }) => hctl.host === host).map(({ hctl }) => hctl.lun);
      const state = this.lost.has(host) ? "FAILED" : "LOGGED_IN";
      const session = { id: host, targetName: iqn, host, channel: 0, target: 0, state };
      return [{ ...session, portals: [portal], luns }];
    });
  }

  async fcTargets(_root: string, wwpn: string): Promise<FcTarget[]> {
    return this.fabric.get(wwpn) ?? [];
  }

  async nvmeControllers(_root: string, nqn: string): Promise<NvmeController[]> {
    const lines = readFileSync(join(this.root, "controllers"), "utf8").split("\n").filter(Boolean);
    return lines.flatMap((line, index) => {
      const [of, portal = ""] = line.split(" ");
      return of === nqn ? [{ name: `nvme${index}`, state: this.nvmeState, portal }] : [];
    });
  }

  async #seen(nqn: string) {
    if ((await this.nvmeControllers("", nqn)).length === 0) return [];
    return (this.namespaces.get(nqn) ?? []).filter(({ hidden }) => !hidden);
  }

  async nvmeDisks(_root: string, nqn: string): Promise<string[]> {
    return (await this.#seen(nqn)).map(({ name }) => name);
  }

  async nvmeNamespace(_root: string, nqn: string, nguid: string): Promise<NvmeNamespace | undefined> {
    return (await this.#seen(nqn)).find((one) => one.nguid === nguid.toLowerCase());
  }

  async nvmeRescan(_root: string, controller: string): Promise<void> {
    this.changes.push(`rescan ${controller}`);
    for (const list of this.namespaces.values()) for (const one of list) one.hidden = false;
  }

  async devicePaths(_root: string, wwid: string): Promise<DevicePath[]> {
    return this.devices.filter((device) => device.wwid === wwid);
  }

  async usedPaths(root: string, wwid: string): Promise<DevicePath[]> {
    const map = this.maps.get(wwid);
    const all = await this.devicePaths(root, wwid);
    return map ? all.filter(({ name }) => map.paths.some((path) => path.name === name)) : all;
  }

  async scanLun(_root: string, hctl: Hctl): Promise<void> {
    this.changes.push(`scan ${text(hctl)}`);
    const line = readFileSync(join(this.root, "sessions"), "utf8").split("\n")[hctl.host] ?? "";
    const lun = this.exported.get(line.split(" ")[0] ?? "")?.get(hctl.lun);
    if (!lun || this.devices.some((device) => text(device.hctl) === text(hctl))) return;
    const name = `sd${String.fromCharCode(97 + this.#next++)}`;
    this.devices.push({ name, hctl, wwid: lun.wwid, size: lun.size, state: "running" });
  }

  waitPaths(_root: string, wwid: string, at: readonly Hctl[]): Stoppable<FoundPaths> {
    const here = at.map((hctl) => this.devices.find((device) => text(device.hctl) === text(hctl)));
    return stoppable({
      there: here.filter((device) => device?.wwid === wwid) as DevicePath[],
      missing: at.filter((_, index) => here[index] === undefined),
      foreign: here.filter((device) => device !== undefined && device.wwid !== wwid) as DevicePath[],
    });
  }

  async rescanPath(_root: string, hctl: Hctl, wwid: string): Promise<void> {
    this.changes.push(`rescan ${text(hctl)}`);
    const size = [...this.exported.values()]
      .flatMap((luns) => [...luns.values()])
      .find((lun) => lun.wwid === wwid)?.size;
    const index = this.devices.findIndex((device) => text(device.hctl) === text(hctl));
    const device = this.devices[index];
    if (device && size !== undefined) this.devices[index] = { ...device, size };
  }

  async deletePath(_root: string, hctl: Hctl, wwid: string): Promise<void> {
    this.changes.push(`delete ${text(hctl)}`);
    const index = this.devices.findIndex(
      (device) => text(device.hctl) === text(hctl) && device.wwid === wwid,
    );
    if (index >= 0) this.devices.splice(index, 1);
  }

  async deviceUsers(_root: string, name: string): Promise<string[]> {
    const wwid = this.devices.find((device) => device.name === name)?.wwid ?? name;
    return [this.users.get(wwid) ?? [], this.usersOfDevice.get(name) ?? []].flat();
  }

  async flushDevice(path: string): Promise<void> {
    this.changes.push(`flush ${path}`);
  }

  async multipathStatus(): Promise<"running" | "off" | "silent"> {
    return this.multipath;
  }

  async multipathMap(_root: string, wwid: string): Promise<MultipathMap | undefined> {
    return this.maps.get(wwid);
  }

  /** As multipathd does: all that has the identity joins, but not what has another size than the map. */
  multipathEnsure(_root: string, wwid: string, paths: readonly string[]) {
    const known = this.maps.get(wwid);
    const all = this.devices.filter((device) => device.wwid === wwid && !this.stubborn);
    const size = known?.size ?? all.find(({ name }) => name === paths[0])?.size ?? 0n;
    const joining = all.filter(
      (device) => device.size === size && !known?.paths.some(({ name }) => name === device.name),
    );
    const members = [
      ...(known?.paths ?? []),
      ...joining.map(({ name, hctl }) => ({ name, hctl, usable: true })),
    ];
    const node = known?.node ?? `dm-${this.maps.size}`;
    const map = { name: wwid, node, wwid, size, paths: members };
    this.maps.set(wwid, map);
    return stoppable({
      map,
      missing: paths.filter((name) => !members.some((path) => path.name === name)),
    });
  }

  async multipathResize(_root: string, wwid: string, size: bigint): Promise<void> {
    this.changes.push(`resize map ${wwid} ${size}`);
    const map = this.maps.get(wwid);
    if (!map) throw fail("absent", `resize multipath map ${wwid}: there is none; activate the volume`);
    const other = this.devices.find(
      (device) => map.paths.some(({ name }) => name === device.name) && device.size !== size,
    );
    if (other)
      throw fail("timeout", `resize multipath map ${wwid}: ${other.name} has ${other.size} bytes; rescan it`);
    this.maps.set(wwid, { ...map, size });
  }

  async multipathRemove(_root: string, wwid: string): Promise<void> {
    const user = this.users.get(wwid);
    if (user !== undefined) throw fail("busy", `remove map ${wwid}: in use (${user}); stop that first`);
    this.changes.push(`remove map ${wwid}`);
    this.maps.delete(wwid);
  }
}

function stoppable<T>(value: T): Stoppable<T> {
  return Object.assign(Promise.resolve(value), { cancel() {} });
}

function text({ host, channel, target, lun }: Hctl): string {
  return `${host}:${channel}:${target}:${lun}`;
}
