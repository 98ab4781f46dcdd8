// SPDX-License-Identifier: AGPL-3.0-or-later
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { JovianSimulator } from "../../sim/joviandss/index.js";
import { api } from "../../src/doctor/api.js";
import { type Reported, worst } from "../../src/doctor/examine.js";
import { nobody, Patient, password } from "./patient.js";

/** What is wrong, and what the doctor must say of it. */
interface Fault {
  readonly section?: Record<string, unknown>;
  plant(patient: Patient, sim: JovianSimulator, portals: readonly { close(): unknown }[]): unknown;
  readonly level: "warning" | "error";
  readonly check: string;
  readonly says: RegExp;
  readonly remedy: RegExp;
}

const faults: Readonly<Record<string, Fault>> = {
  "the service does not run": {
    plant: (patient) => {
      patient.answers = nobody;
    },
    level: "error",
    check: "service",
    says: /nothing listens/,
    remedy: /systemctl enable --now pve-blockio\.socket/,
  },
  "the service is another version than the program": {
    plant: (patient) => {
      patient.answers = async () => ({ version: "1.2.2", protocol: 1 });
    },
    level: "warning",
    check: "service",
    says: /version 1\.2\.2.*1\.2\.3/,
    remedy: /try-restart pve-blockio\.service/,
  },
  "another node has another version": {
    plant: (patient) => patient.record("node-b", { version: "1.0.0" }),
    level: "warning",
    check: "versions",
    says: /'node-b' has version 1\.0\.0/,
    remedy: /upgrade/,
  },
  "another node has no service": {
    plant: (patient) => patient.file("etc/pve/nodes/node-c/lrm_status", ""),
    level: "warning",
    check: "versions",
    says: /'node-c' has never told/,
    remedy: /install pve-blockio there/,
  },
  "the class of the type is not installed": {
    plant: (patient) => patient.remove("usr/share/perl5/PVE/Storage/Custom/JoviandssPlugin.pm"),
    level: "error",
    check: "plugin",
    says: /no class of type 'joviandss'/,
    remedy: /install pve-blockio-joviandss/,
  },
  "the vendor's plugin is there too": {
    plant: (patient) =>
      patient.file(
        "usr/share/perl5/PVE/Storage/Custom/OpenEJovianDSSPlugin.pm",
        "package Y;\nsub type {\n\tmy ($class) = @_;\n\treturn 'joviandss';\n}\n",
      ),
    level: "error",
    check: "plugin",
    says: /OpenEJovianDSSPlugin\.pm is also of type 'joviandss'/,
    remedy: /remove the other plugin/,
  },
  "a daemon of PVE has the plugin of yesterday": {
    plant: (patient) => {
      patient.file("run/pvestatd.pid", "900\n");
      patient.file("proc/stat", "cpu 1\nbtime 1700000000\n");
      patient.file("proc/900/stat", `900 (pve (st) d) S ${"0 ".repeat(18)}5000 0 0\n`);
    },
    level: "warning",
    check: "plugin",
    says: /pvestatd started before/,
    remedy: /try-reload-or-restart pvestatd/,
  },
  "open-iscsi is not installed": {
    plant: (patient) => patient.remove("usr/sbin/iscsiadm"),
    level: "error",
    check: "open-iscsi",
    says: /iscsiadm is missing/,
    remedy: /apt install open-iscsi/,
  },
  "iscsid does not run": {
    plant: (patient) => patient.remove("proc/100"),
    level: "error",
    check: "open-iscsi",
    says: /iscsid does not run/,
    remedy: /enable --now iscsid/,
  },
  "udev does not run": {
    plant: (patient) => patient.remove("proc/101"),
    level: "error",
    check: "udev",
    says: /does not run/,
    remedy: /restart systemd-udevd/,
  },
  "the node has no initiator name": {
    plant: (patient) => patient.file("etc/iscsi/initiatorname.iscsi", "GenerateName=yes\n"),
    level: "error",
    check: "initiator",
    says: /no name/,
    remedy: /iscsi-iname/,
  },
  "another node has the same initiator name": {
    plant: (patient) =>
      patient.record("node-b", { version: "1.2.3", initiator: "iqn.1993-08.org.debian:01:AAAA" }),
    level: "error",
    check: "initiator",
    says: /'node-b' has the same name/,
    remedy: /iscsi-iname/,
  },
  "somebody else logs in by this node's name": {
    plant: async (_patient, sim) => {
      await target(sim, "iqn.2025-06.proxmox.pool-0:vm-100-0");
      sim.login({
        iqn: "iqn.2025-06.proxmox.pool-0:vm-100-0",
        initiator: "iqn.1993-08.org.debian:01:aaaa",
        ip: "192.0.2.77",
        portal: "127.0.0.1",
      });
    },
    level: "error",
    check: "initiator",
    says: /also logged in at target .* from 192\.0\.2\.77/,
    remedy: /a name of its own/,
  },
  "multipathd does not run": {
    plant: (patient) => {
      patient.multipath = "off";
    },
    level: "error",
    check: "multipathd",
    says: /does not run/,
    remedy: /apt install multipath-tools/,
  },
  "multipathd hangs": {
    plant: (patient) => {
      patient.multipath = "silent";
    },
    level: "error",
    check: "multipathd",
    says: /does not answer/,
    remedy: /restart/,
  },
  "multipathd takes every disk": {
    plant: (patient) => patient.file("etc/multipath/conf.d/a.conf", "defaults { find_multipaths greedy }\n"),
    level: "warning",
    check: "multipathd",
    says: /find_multipaths is 'greedy'/,
    remedy: /strict/,
  },
  "maps queue for ever": {
    plant: (patient) =>
      patient.file(
        "etc/multipath.conf",
        'devices {\n device {\n vendor "SCST_BIO" # theirs\n no_path_retry "queue"\n }\n}\n',
      ),
    level: "warning",
    check: "multipathd",
    says: /no_path_retry is 'queue' \(device\)/,
    remedy: /number of retries/,
  },
  "maps have friendly names": {
    plant: (patient) => patient.file("etc/multipath.conf", "defaults {\n\tuser_friendly_names yes\n}\n"),
    level: "warning",
    check: "multipathd",
    says: /user_friendly_names is on/,
    remedy: /enable .*joviandss\.conf/,
  },
  "multipathd excludes all disks": {
    plant: (patient) => patient.file("etc/multipath.conf", 'blacklist {\n\tdevnode "^sd[a-z]"\n}\n'),
    level: "warning",
    check: "multipathd",
    says: /blacklist has devnode/,
    remedy: /blacklist_exceptions/,
  },
  "LVM looks into guests' disks": {
    plant: (patient) =>
      patient.file("etc/lvm/lvm.conf", 'devices {\n global_filter=["r|/dev/zd.*|","r|/dev/rbd.*|"]\n}\n'),
    level: "warning",
    check: "lvm",
    says: /accepts disks like \/dev\/mapper\/2/,
    remedy: /"r\|\^\/dev\/mapper\/2(?:\[0-9a-f\]){16}\(-part\[0-9\]\+\)\?\$\|"/,
  },
  "LVM looks into guests' disks that have no map": {
    section: { multipath: 0, data_addresses: "127.0.0.1" },
    plant: (patient) =>
      patient.file("etc/lvm/lvm.conf", 'devices {\n global_filter=["r|/dev/zd.*|","r|/dev/rbd.*|"]\n}\n'),
    level: "warning",
    check: "lvm",
    says: /accepts disks like \/dev\/disk\/by-id\/scsi-2/,
    remedy: /"r\|\^\/dev\/disk\/by-id\/scsi-2(?:\[0-9a-f\]){16}/,
  },
  "LVM does not understand the filter": {
    plant: (patient) =>
      patient.file(
        "etc/lvm/lvm.conf",
        'devices {\n global_filter=["r|^/dev/mapper/2[0-9a-f]{16}|","r|^/dev/mapper/2[\\da-f]+|"]\n}\n',
      ),
    level: "warning",
    check: "lvm",
    says: /accepts disks like \/dev\/mapper\/2/,
    remedy: /guest-volumes\.conf/,
  },
  "one address of the API is silent": {
    plant: (_patient, sim) => sim.setAddress("127.0.0.2", "refusing"),
    level: "warning",
    check: "address",
    says: /127\.0\.0\.2:[0-9]+ does not answer/,
    remedy: /check network/,
  },
  "the array is gone": {
    plant: async (patient, sim) => {
      patient.probeMs = 4_000;
      for (const address of sim.addresses) await sim.setAddress(address, "refusing");
    },
    level: "error",
    check: "array",
    says: /no connection to JovianDSS/,
    remedy: /control_addresses/,
  },
  "the password is wrong": {
    plant: (patient) => patient.file("etc/pve/priv/storage/joviandss/jdss.pw", "user_password guessed\n"),
    level: "error",
    check: "credentials",
    says: /HTTP status 401/,
    remedy: /user_password/,
  },
  "the password is missing": {
    plant: (patient) => patient.remove("etc/pve/priv/storage/joviandss/jdss.pw"),
    level: "error",
    check: "credentials",
    says: /no user_password/,
    remedy: /pvesm set jdss --user_password/,
  },
  "the password is in storage.cfg": {
    section: { user_password: password },
    plant: (patient) => patient.remove("etc/pve/priv/storage/joviandss/jdss.pw"),
    level: "warning",
    check: "credentials",
    says: /in storage\.cfg/,
    remedy: /pvesm set jdss --user_password/,
  },
  "the CHAP password is missing": {
    section: { chap_enabled: 1, chap_user_name: "guests" },
    plant: () => undefined,
    level: "error",
    check: "credentials",
    says: /no chap_user_password/,
    remedy: /--chap_user_password/,
  },
  "the certificate is not trusted": {
    section: { ssl_cert_verify: 1 },
    plant: () => undefined,
    level: "error",
    check: "certificate",
    says: /not trusted/,
    remedy: /--ssl_cert_verify 0/,
  },
  "the pool is not there": {
    section: { pool_name: "Pool-9" },
    plant: (patient) => {
      patient.probeMs = 4_000;
    },
    level: "error",
    check: "pool",
    says: /Pool-9/,
    remedy: /pool_name|check/,
  },
  "the pool is degraded": {
    plant: (_patient, sim) => {
      sim.pool().health = "DEGRADED";
    },
    level: "warning",
    check: "pool",
    says: /degraded/,
    remedy: /disks/,
  },
  "a data address is none of the pool": {
    section: { data_addresses: "127.0.0.1,127.0.0.7" },
    plant: () => undefined,
    level: "warning",
    check: "data_addresses",
    says: /127\.0\.0\.7 are no addresses of pool/,
    remedy: /127\.0\.0\.1, 127\.0\.0\.2/,
  },
  "multipath has one address": {
    section: { data_addresses: "127.0.0.1" },
    plant: () => undefined,
    level: "warning",
    check: "data_addresses",
    says: /one address/,
    remedy: /second address/,
  },
  "a portal refuses": {
    plant: (_patient, _sim, portals) => portals[1]?.close(),
    level: "warning",
    check: "portals",
    says: /127\.0\.0\.2:[0-9]+ \(ECONNREFUSED\)/,
    remedy: /storage network/,
  },
  "another storage has the same target prefix": {
    plant: (patient) =>
      patient.file(
        "etc/pve/storage.cfg",
        "joviandss: other\n\tpool_name Pool-1\n\ttarget_prefix iqn.2025-06.proxmox.pool-0:\n",
      ),
    level: "error",
    check: "target_prefix",
    says: /also that of storage 'other'/,
    remedy: /--target_prefix/,
  },
  "the pool is nearly full": {
    plant: (_patient, sim) => {
      const { size, volumes } = sim.pool();
      volumes.set("full", {
        name: "full",
        sparse: true,
        volsize: size,
        written: size,
        properties: new Map(),
      } as never);
    },
    level: "error",
    check: "space",
    says: /0 %/,
    remedy: /pve-blockio sweep jdss/,
  },
  "something is left over": {
    plant: (patient) => {
      patient.left = [{ kind: "disk", name: "iqn x", why: "no volume has it" }];
    },
    level: "warning",
    check: "leftovers",
    says: /1 \(disk\)/,
    remedy: /pve-blockio sweep jdss/,
  },
  "the section is malformed": {
    section: { block_size: "3K" },
    plant: () => undefined,
    level: "error",
    check: "section",
    says: /block_size/,
    remedy: /pvesm set/,
  },
};

async function target(sim: JovianSimulator, name: string): Promise<void> {
  const pool = sim.pool();
  pool.targets.set(name, {
    name,
    active: true,
    incomingUsersActive: false,
    users: new Map(),
    luns: new Map(),
    sessions: [],
    portals: { enabled: false, assigned: [] },
    visibleAt: 0,
    deletes: 0,
  });
}

function problems(found: readonly Reported[]): string[] {
  return found.filter(({ level }) => level !== "ok").map(({ check, text }) => `${check}: ${text}`);
}

function noSecret(t: ExecutionContext, found: readonly Reported[]): void {
  t.false(JSON.stringify(found).includes(password), "the password is not told");
}

test.serial("a healthy node has nothing to complain of", async (t) => {
  const patient = new Patient(t);
  await patient.jovian(t);
  const found = await patient.examine();
  t.deepEqual(problems(found), []);
  t.is(worst(found), "ok");
  for (const check of [
    "service",
    "versions",
    "plugin",
    "open-iscsi",
    "initiator",
    "udev",
    "multipathd",
    "lvm",
  ])
    t.true(
      found.some((one) => one.check === check && one.storage === undefined),
      check,
    );
  for (const check of [
    "address",
    "clock",
    "credentials",
    "pool",
    "data_addresses",
    "portals",
    "space",
    "leftovers",
  ])
    t.true(
      found.some((one) => one.check === check && one.storage === "jdss"),
      check,
    );
  noSecret(t, found);
});

for (const [name, { section, plant, level, check, says, remedy }] of Object.entries(faults))
  test.serial(`found: ${name}`, async (t) => {
    const patient = new Patient(t);
    const { sim, portals } = await patient.jovian(t, section);
    await plant(patient, sim, portals);
    const found = await patient.examine();
    const hit = found.find((one) => one.check === check && one.level !== "ok" && says.test(one.text));
    if (!hit) return t.fail(`not found among: ${problems(found).join(" | ")}`);
    t.is(hit.level, level);
    t.regex(hit.remedy ?? "", remedy);
    noSecret(t, found);
  });

test.serial("a lock of an iscsiadm that was killed is found, that of one at work is not", async (t) => {
  const patient = new Patient(t);
  await patient.jovian(t);
  const lock = patient.file("run/lock/iscsi/lock.write", "");
  t.deepEqual(problems(await patient.examine()), [], "young");
  // The age is that of the inode's last change, which cannot be set back: the clock is put forward instead.
  utimesSync(lock, 0, 0);
  const now = Date.now;
  Date.now = () => now() + 120_000;
  try {
    const found = (await patient.examine()).find(
      ({ check, level }) => check === "open-iscsi" && level === "error",
    );
    t.regex(found?.remedy ?? "", /rm \/run\/lock\/iscsi\/lock\.write/);
    patient.process(200, "iscsiadm");
    t.false(
      (await patient.examine()).some(({ check, level }) => check === "open-iscsi" && level === "error"),
    );
  } finally {
    Date.now = now;
  }
});

test("an array whose clock is wrong is found by its own word", async (t) => {
  const server = createServer((_request, reply) => {
    reply.setHeader("date", new Date(Date.now() - 3_600_000).toUTCString());
    reply.statusCode = 401;
    reply.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const found = await api([`http://127.0.0.1:${port}`], new AbortController().signal);
  const clock = found.find(({ check }) => check === "clock");
  t.is(clock?.level, "warning");
  t.regex(clock?.text ?? "", /3[56][0-9]{2} s behind/);
  t.regex(clock?.remedy ?? "", /NTP/);
});

test.serial("what hangs is a finding, and the rest is told in time", async (t) => {
  const patient = new Patient(t);
  const { sim } = await patient.jovian(t);
  for (const address of sim.addresses) await sim.setAddress(address, "mute");
  patient.answers = () => new Promise(() => undefined);
  const started = performance.now();
  const found = await patient.examine(3_000);
  t.true(performance.now() - started < 12_000);
  const service = found.find(({ check }) => check === "service");
  t.regex(service?.text ?? "", /not done within 3 s/);
  t.true(
    found.some(({ check, level, storage }) => storage === "jdss" && level === "error" && check === "array"),
  );
  t.true(found.some(({ check, level }) => check === "initiator" && level === "ok"));
});

test.serial("a directory: gone, not mounted, not writable, without reflinks", async (t) => {
  const patient = new Patient(t);
  const path = join(patient.root, "srv");
  const look = async (more: Record<string, unknown>) => {
    patient.sections = [
      { storeid: "dir", scfg: { type: "blockio", path, content: { images: true }, ...more } },
    ];
    return (await patient.examine()).filter(({ storage, level }) => storage === "dir" && level !== "ok");
  };
  const [gone] = await look({ "create-base-path": 0 });
  t.regex(gone?.text ?? "", /does not exist/);
  t.regex(gone?.remedy ?? "", /create it or mount/);
  const [unmounted] = await look({ is_mountpoint: 1 });
  t.regex(unmounted?.text ?? "", /nothing is mounted there/);
  t.regex(unmounted?.remedy ?? "", /mount it/);
  mkdirSync(path);
  // This machine's own file system has no reflinks, or is the root file system; where neither is so there is nothing to find.
  for (const one of await look({})) t.regex(one.check, /^(?:mount|reflink|space)$/);
  if (process.getuid?.() !== 0) {
    chmodSync(path, 0o500);
    t.true((await look({})).some(({ text }) => /cannot be written/.test(text)));
    chmodSync(path, 0o700);
  }
});

test.serial("what multipath.conf says of other arrays is their own business", async (t) => {
  const patient = new Patient(t);
  await patient.jovian(t);
  patient.file("etc/multipath.conf", 'devices { device { vendor "IBM" \n no_path_retry queue } }\n');
  t.deepEqual(problems(await patient.examine()), []);
});

test.serial(
  "the configuration that comes along overrules the defaults, and satisfies the doctor",
  async (t) => {
    const patient = new Patient(t);
    await patient.jovian(t);
    patient.file(
      "etc/multipath.conf",
      "defaults {\n user_friendly_names yes\n no_path_retry queue\n skip_kpartx no\n}\n",
    );
    t.is(problems(await patient.examine()).length, 3);
    patient.file("etc/multipath/conf.d/a.conf", readFileSync("config/multipath/joviandss.conf", "utf8"));
    patient.file("etc/lvm/lvm.conf", "devices {\n}\n");
    patient.file("etc/lvm/lvmlocal.conf", readFileSync("config/lvm/guest-volumes.conf", "utf8"));
    t.deepEqual(problems(await patient.examine()), []);
  },
);

test.serial("nothing is made by looking: no directory, no log", async (t) => {
  const patient = new Patient(t);
  const path = join(patient.root, "srv");
  patient.sections = [{ storeid: "dir", scfg: { type: "blockio", path, content: { images: true } } }];
  const [gone] = problems(await patient.examine());
  t.regex(String(gone), /does not exist/);
  t.false(existsSync(path));
  patient.sections = [];
  await patient.jovian(t);
  t.deepEqual(problems(await patient.examine()), []);
  t.false(existsSync(join(patient.root, "log")));
});

test.serial("storages of other nodes are not examined", async (t) => {
  const patient = new Patient(t);
  await patient.jovian(t, { nodes: { "node-b": true }, control_addresses: "192.0.2.1" });
  writeFileSync(join(patient.root, "etc/multipath.conf"), "");
  const found = await patient.examine();
  t.deepEqual(problems(found), []);
  t.true(found.some(({ storage, text }) => storage === "jdss" && text === "not for this node"));
});
