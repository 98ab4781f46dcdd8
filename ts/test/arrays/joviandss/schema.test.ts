// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { joviandssProperties, parseSection } from "../../../src/arrays/joviandss/schema.js";
import { passwordFiles } from "../../../src/arrays/joviandss/secrets.js";
import { Secret } from "../../../src/common/secret.js";
import { declare } from "../../../src/plugin/manifest.js";

const least = { pool_name: "Pool-0", control_addresses: "10.0.0.1" };

test("a section with the least has the documented defaults", (t) => {
  t.deepEqual(parseSection(least), {
    pool: "Pool-0",
    user: "admin",
    inlinePassword: undefined,
    verify: true,
    controlAddresses: ["10.0.0.1"],
    controlPort: 82,
    dataAddresses: ["10.0.0.1"],
    dataPort: 3260,
    targetPrefix: "iqn.2025-04.proxmox.joviandss.iscsi",
    lunsPerTarget: 8,
    thin: true,
    blockSize: { name: "16K", bytes: 16_384 },
    multipath: false,
    chapUser: undefined,
    clusterPrefix: undefined,
    logFile: "/var/log/joviandss/joviandss.log",
    debug: false,
    content: ["images", "rootdir"],
  });
});

test("values come as PVE has them: text, numbers, flags", (t) => {
  const section = parseSection({
    ...least,
    control_addresses: "10.0.0.1, 10.0.0.2;[fd00::1] 10.0.0.1",
    data_addresses: "10.1.0.1",
    control_port: "8082",
    data_port: 3261,
    ssl_cert_verify: "0",
    multipath: 1,
    thin_provisioning: "1",
    luns_per_target: "16",
    block_size: "1 m",
    target_prefix: "iqn.2025-06.proxmox.pool-0::",
    chap_enabled: 1,
    chap_user_name: "chap-user",
    cluster_prefix: "pveA",
    user_password: "inline-secret",
    content: { images: 1, rootdir: 0 },
    path: "/mnt/jdss",
    shared: 1,
    jdssc_timeout: "113",
    multipath_lock_type: "node",
  });
  t.like(section, {
    controlAddresses: ["10.0.0.1", "10.0.0.2", "fd00::1"],
    dataAddresses: ["10.1.0.1"],
    controlPort: 8082,
    dataPort: 3261,
    verify: false,
    multipath: true,
    thin: true,
    lunsPerTarget: 16,
    blockSize: { name: "1M", bytes: 1_048_576 },
    targetPrefix: "iqn.2025-06.proxmox.pool-0",
    chapUser: "chap-user",
    clusterPrefix: "pveA",
    content: ["images"],
  });
  t.is(section.inlinePassword?.reveal(), "inline-secret");
  t.notRegex(JSON.stringify(section), /inline-secret/);
});

test("addresses for data stand for those for control where they are missing", (t) => {
  const { controlAddresses } = parseSection({ pool_name: "Pool-0", data_addresses: "10.1.0.1" });
  t.deepEqual(controlAddresses, ["10.1.0.1"]);
});

for (const [title, wrong] of Object.entries({
  "no address": { control_addresses: undefined },
  "a host name": { control_addresses: "array.example" },
  "a host name among data addresses": { data_addresses: "10.0.0.1,array" },
  "port 0": { control_port: "0" },
  "a port beyond 65535": { data_port: 65_536 },
  "a port that is no number": { data_port: "iscsi" },
  "an odd block size": { block_size: "24K" },
  "no LUNs": { luns_per_target: 0 },
  "a prefix in capitals": { target_prefix: "iqn.X" },
  "CHAP without a user": { chap_enabled: 1 },
  "a CHAP user with a blank": { chap_user_name: "a b" },
  "a cluster prefix with a digit first": { cluster_prefix: "1a" },
  "no pool": { pool_name: undefined },
  "a flag that is none": { multipath: "maybe" },
}))
  test(`refused: ${title}`, (t) => {
    t.throws(() => parseSection({ ...least, ...wrong }));
  });

test("PVE's schema can express every property of our own, and no password is shown in a section", (t) => {
  const secret: string[] = [];
  for (const [name, { schema, pve }] of Object.entries(joviandssProperties)) {
    if ("sensitive" in pve && pve.sensitive) secret.push(name);
    if ("core" in pve && pve.core) continue;
    const { type } = declare(name, schema, pve);
    t.true(["string", "integer", "boolean"].includes(String(type)), name);
  }
  t.deepEqual(secret, ["user_password", "chap_user_password"]);
  t.like(
    declare("control_port", joviandssProperties.control_port.schema, joviandssProperties.control_port.pve),
    {
      type: "integer",
      minimum: 1,
      maximum: 65_535,
      default: 82,
    },
  );
});

test("the password file is read and written as the vendor's plugin does it", (t) => {
  const text =
    "# of storage jdss\nuser_password  with blank inside \nchap_user_password abc\nother x\nuser_passwordx y\n";
  const { user_password, chap_user_password } = passwordFiles.parse(text);
  t.is(user_password?.reveal(), "with blank inside");
  t.is(chap_user_password?.reveal(), "abc");
  t.deepEqual(passwordFiles.parse(""), {});
  t.is(passwordFiles.format({ user_password: new Secret("a b") }), "user_password a b\n");
  t.is(
    passwordFiles.format({ chap_user_password: new Secret("c"), user_password: new Secret("u") }),
    "user_password u\nchap_user_password c\n",
  );
  for (const bad of [" a", "a ", "a\nb", ""])
    t.throws(() => passwordFiles.format({ user_password: new Secret(bad) }), {
      code: "invalid",
      message: /^(?!.*a\sb)/,
    });
});
