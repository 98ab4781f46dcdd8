#!/usr/bin/env node
// SPDX-License-Identifier: AGPL-3.0-or-later
// Makes targets of a simulated array real ones: LIO's, with disks by crates/lab-disk. The simulator calls it for each
// change (TargetExporter in ts/sim/joviandss/exports.ts), in the network namespace whose addresses are the portals'.
//
// usage: targets.mjs apply <TARGET.json | remove IQN | sessions IQN | close
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, rmdirSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const config = "/sys/kernel/config/target";
const targets = join(config, "iscsi");
const disks = join(config, "core/user_0");
const program = process.env.LAB_DISK ?? new URL("../../build/lab-disk", import.meta.url).pathname;

const list = (dir) => (existsSync(dir) ? readdirSync(dir) : []);
const set = (file, value) => writeFileSync(file, String(value));
const get = (file) => readFileSync(file, "utf8").trim();

/** configfs wants a directory removed after everything that was made in it. */
function removeLun(group, name) {
  const lun = join(group, "lun", name);
  const links = list(lun).filter((entry) => existsSync(join(lun, entry, "control")));
  const stores = links.map((link) => basename(readlinkSync(join(lun, link))));
  for (const link of links) unlinkSync(join(lun, link));
  rmdirSync(lun);
  for (const store of stores) rmdirSync(join(disks, store)); // its lab-disk ends by itself
}

/** What of a LUN cannot be changed: it is another one then. */
const identity = ({ volume, scsiId, readOnly }) => `${volume} ${scsiId} ${readOnly}`;
/** Names in configfs are short; one volume may have LUNs in several targets. */
function storeName(iqn, { lun, volume, scsiId, readOnly }) {
  const text = `${iqn} ${lun} ${identity({ volume, scsiId, readOnly })}`;
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return `d${hash.toString(16).padStart(16, "0")}`;
}

function addLun(iqn, group, lun) {
  if (lun.file === undefined) throw new Error("the simulator has no files: it needs --data");
  const name = storeName(iqn, lun);
  const store = join(disks, name);
  mkdirSync(store, { recursive: true });
  // The last part keeps LIO from waiting for tcmu-runner.
  set(join(store, "control"), `dev_size=${lun.size},dev_config=lab/${name},hw_block_size=512,nl_reply_supported=-1`);
  set(join(store, "attrib/emulate_write_cache"), 1); // later, LIO would want to tell tcmu-runner
  set(join(store, "enable"), 1);
  set(join(store, "wwn/vpd_unit_serial"), name);
  const eui = Buffer.from(lun.scsiId.slice(0, 8)).toString("hex");
  const more = lun.readOnly ? ["ro"] : [];
  const log = openSync(process.env.LAB_DISK_LOG ?? "/dev/null", "a");
  spawn(program, [name, lun.file, eui, ...more], { detached: true, stdio: ["ignore", log, log] }).unref();
  const dir = join(group, "lun", `lun_${lun.lun}`);
  mkdirSync(dir);
  symlinkSync(store, join(dir, name));
}

function apply({ iqn, active, portals, chap, luns }) {
  const group = join(targets, iqn, "tpgt_1");
  if (!existsSync(group)) {
    mkdirSync(targets, { recursive: true });
    mkdirSync(group, { recursive: true });
    for (const [name, value] of Object.entries({ generate_node_acls: 1, cache_dynamic_acls: 1, demo_mode_write_protect: 0 })) {
      set(join(group, "attrib", name), value);
    }
  }
  const [user] = chap ?? [];
  if (user) {
    set(join(group, "auth/userid"), user.name);
    set(join(group, "auth/password"), user.password);
  }
  set(join(group, "attrib/authentication"), chap ? 1 : 0);

  const wanted = new Map(luns.map((lun) => [`lun_${lun.lun}`, storeName(iqn, lun)]));
  for (const name of list(join(group, "lun"))) {
    if (!existsSync(join(group, "lun", name, wanted.get(name) ?? "none"))) removeLun(group, name);
  }
  for (const lun of luns) {
    // One that is there needs nothing: lab-disk sees by itself what size its file has, and that it is another one.
    if (!existsSync(join(disks, storeName(iqn, lun)))) addLun(iqn, group, lun);
  }
  for (const portal of list(join(group, "np"))) if (!portals.includes(portal)) rmdirSync(join(group, "np", portal));
  for (const portal of portals) mkdirSync(join(group, "np", portal), { recursive: true });
  if (get(join(group, "enable")) !== (active ? "1" : "0")) set(join(group, "enable"), active ? 1 : 0);
}

function remove(iqn) {
  const group = join(targets, iqn, "tpgt_1");
  if (!existsSync(group)) return;
  set(join(group, "enable"), 0);
  for (const name of list(join(group, "lun"))) removeLun(group, name);
  for (const kind of ["np", "acls"]) for (const name of list(join(group, kind))) rmdirSync(join(group, kind, name));
  rmdirSync(group);
  rmdirSync(join(targets, iqn));
}

/** Who is logged in, as LIO shows it. */
function sessions(iqn) {
  const group = join(targets, iqn, "tpgt_1");
  if (!existsSync(group)) return [];
  const names = get(join(group, "dynamic_sessions")).split(/[\0\n]/).filter(Boolean);
  return names.map((initiator, index) => ({ initiator, ip: "", sid: `${index + 1}`, cid: "0" }));
}

const [verb, iqn] = process.argv.slice(2);
switch (verb) {
  case "apply":
    apply(JSON.parse(readFileSync(0, "utf8")));
    break;
  case "remove":
    remove(iqn);
    break;
  case "sessions":
    process.stdout.write(JSON.stringify(sessions(iqn)));
    break;
  case "close":
    for (const name of list(targets).filter((entry) => entry.startsWith("iqn."))) remove(name);
    break;
  default:
    process.stderr.write("usage: targets.mjs apply | remove IQN | sessions IQN | close\n");
    process.exitCode = 2;
}
