// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import { StorPoolSimulator } from "../../sim/storpool/index.js";
import { Patient } from "./patient.js";

const secret = "1556129910218014736";

/** A node with a storage on a simulated cluster; `conf` is laid over its configuration. */
async function patientOn(t: ExecutionContext, conf: Record<string, string | number> = {}) {
  const sim = await StorPoolSimulator.start({ templates: ["sp"], clients: [11, 12], token: secret });
  t.teardown(() => sim.close());
  const patient = new Patient(t);
  patient.file("etc/pve/corosync.conf", "totem {\n  cluster_name: two\n}\n");
  const settings = {
    SP_API_HTTP_HOST: sim.host,
    SP_API_HTTP_PORT: sim.port,
    SP_AUTH_TOKEN: secret,
    SP_OURID: 11,
    ...conf,
  };
  patient.file(
    "etc/storpool.conf",
    `${Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join("")}`,
  );
  patient.sections = [{ storeid: "sp", scfg: { type: "storpool", content: { images: true } } }];
  return { sim, patient };
}

async function wrongWith(t: ExecutionContext, patient: Patient, check: string) {
  const found = await patient.examine();
  t.false(JSON.stringify(found).includes(secret), "the token is not told");
  const hit = found.find((one) => one.check === check && one.level !== "ok");
  if (!hit) t.fail(`nothing of ${check} among ${JSON.stringify(found)}`);
  return `${hit?.text}; ${hit?.remedy}`;
}

test.serial("a healthy StorPool node has nothing to complain of", async (t) => {
  const { patient } = await patientOn(t);
  const found = await patient.examine();
  t.deepEqual(
    found.filter(({ level }) => level !== "ok"),
    [],
  );
  for (const check of ["address", "clock", "credentials", "array", "client", "template", "space"])
    t.true(
      found.some((one) => one.check === check && one.storage === "sp"),
      check,
    );
  t.false(
    found.some(({ check }) => check === "multipathd" || check === "open-iscsi"),
    "which it does not need",
  );
});

test.serial("the token is wrong", async (t) => {
  const { patient } = await patientOn(t, { SP_AUTH_TOKEN: "42" });
  t.regex(await wrongWith(t, patient, "credentials"), /SP_AUTH_TOKEN/);
});

test.serial("the configuration lacks something", async (t) => {
  const { patient } = await patientOn(t, { SP_OURID: "" });
  t.regex(await wrongWith(t, patient, "section"), /SP_OURID is missing.*edit \/etc\/storpool\.conf/);
});

test.serial("the template is not there", async (t) => {
  const { patient } = await patientOn(t);
  patient.sections = [{ storeid: "sp", scfg: { type: "storpool", template: "gone" } }];
  t.regex(await wrongWith(t, patient, "template"), /'gone'/);
});

test.serial("the node's client is down, or nobody's", async (t) => {
  const { patient, sim } = await patientOn(t);
  await sim.setClient(11, "down");
  t.regex(await wrongWith(t, patient, "client"), /client 11 is down.*storpool_block/);
  const other = await patientOn(t, { SP_OURID: 77 });
  t.regex(await wrongWith(t, other.patient, "client"), /no client 77.*SP_OURID/);
});

test.serial("LVM looks at StorPool's devices", async (t) => {
  const { patient } = await patientOn(t);
  patient.file("etc/lvm/lvm.conf", 'devices { global_filter = [ "a|.*|" ] }');
  t.regex(await wrongWith(t, patient, "lvm"), /\/dev\/sp-.*"r\|\^\/dev\/sp-\|", "r\|\^\/dev\/storpool\|"/);
});
