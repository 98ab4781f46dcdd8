// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import { LinstorSimulator } from "../../sim/linstor/index.js";
import { Patient } from "./patient.js";

/** node-a of a simulated LINSTOR with two controllers, of which one is active. */
async function patientOn(t: ExecutionContext, more: Record<string, unknown> = {}) {
  const sim = await LinstorSimulator.start({
    controllers: ["127.0.0.1", "127.0.0.2"],
    nodes: [{ name: "node-a" }, { name: "node-b" }],
  });
  t.teardown(() => sim.close());
  const patient = new Patient(t);
  patient.file(
    "usr/share/perl5/PVE/Storage/Custom/LinstorPlugin.pm",
    "use base qw(PVE::Storage::Custom::Blockio::Base); sub type { return 'drbd'; }",
  );
  patient.file(
    "etc/lvm/lvm.conf",
    'devices {\n\tglobal_filter = [\n\t\t"r|/dev/zd.*|", # "a|.*|"\n\t\t"r|/dev/drbd.*|"\n\t]\n}\n',
  );
  const scfg = {
    type: "drbd",
    controller: sim.urls.join(","),
    resourcegroup: "rg1",
    content: { images: true },
    ...more,
  };
  patient.sections = [{ storeid: "ls", scfg }];
  return { sim, patient };
}

async function wrongWith(t: ExecutionContext, patient: Patient, check: string) {
  const found = await patient.examine();
  const hit = found.find((one) => one.check === check && one.level !== "ok");
  if (!hit) t.fail(`nothing of ${check} among ${JSON.stringify(found)}`);
  return `${hit?.level}: ${hit?.text}; ${hit?.remedy}`;
}

test.serial(
  "a healthy node of LINSTOR has nothing to complain of, with one active controller of two",
  async (t) => {
    const { patient } = await patientOn(t);
    const found = await patient.examine();
    t.deepEqual(
      found.filter(({ level }) => level !== "ok"),
      [],
    );
    for (const check of ["address", "clock", "credentials", "group", "satellite", "space"])
      t.true(
        found.some((one) => one.check === check && one.storage === "ls"),
        check,
      );
  },
);

test.serial("the satellite of this node, or of another, is away", async (t) => {
  const { patient, sim } = await patientOn(t);
  await sim.setNode("node-b", false);
  t.regex(await wrongWith(t, patient, "satellite"), /^warning: .*node-b/);
  await sim.setNode("node-b", true);
  await sim.setNode("node-a", false);
  t.regex(await wrongWith(t, patient, "satellite"), /^error: .*'node-a'.*linstor-satellite/);
});

test.serial("LINSTOR does not know this node, or the group", async (t) => {
  const strange = await patientOn(t, { exactsize: 0 });
  await strange.sim.close();
  const sim = await LinstorSimulator.start({ nodes: [{ name: "pve9" }] });
  t.teardown(() => sim.close());
  strange.patient.sections = [
    { storeid: "ls", scfg: { type: "drbd", controller: sim.urls.join(","), resourcegroup: "rg1" } },
  ];
  t.regex(await wrongWith(t, strange.patient, "satellite"), /no node 'node-a'.*linstor node create node-a/);
  strange.patient.sections = [
    { storeid: "ls", scfg: { type: "drbd", controller: sim.urls.join(","), resourcegroup: "gone" } },
  ];
  t.regex(await wrongWith(t, strange.patient, "group"), /gone/);
});

test.serial("no controller answers", async (t) => {
  const { patient, sim } = await patientOn(t);
  await sim.close();
  t.regex(await wrongWith(t, patient, "array"), /^error/);
});

test.serial("LVM looks at DRBD's devices", async (t) => {
  const { patient } = await patientOn(t);
  patient.file("etc/lvm/lvm.conf", "devices {\n}\n");
  t.regex(await wrongWith(t, patient, "lvm"), /\/dev\/drbd1000.*"r\|\^\/dev\/drbd\|"/);
});
