// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { LinstorSimulator } from "../../../sim/linstor/index.js";
import { endpointOf } from "../../../src/arrays/linstor/access.js";
import { LinstorClient } from "../../../src/arrays/linstor/client.js";
import { parseSection } from "../../../src/arrays/linstor/schema.js";
import { storeSecrets } from "../../../src/arrays/linstor/secrets.js";
import type { Context } from "../../../src/common/context.js";
import { codeOf } from "../../../src/common/errors.js";
import { createLogger } from "../../../src/common/log.js";
import { quick } from "./nodes.js";

const secret = "s3cret-of-linstor";

function directory(t: ExecutionContext): string {
  const dir = mkdtempSync(join(tmpdir(), "blockio-linstor-access-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function context(): { ctx: Context; lines: string[] } {
  const lines: string[] = [];
  const log = createLogger({ level: "debug", write: (line) => lines.push(line) });
  return { ctx: { signal: new AbortController().signal, log }, lines };
}

/** A client of a simulator by a section, with what is in its secrets file. */
async function connect(t: ExecutionContext, sim: LinstorSimulator, section: object, kept = "") {
  const dir = directory(t);
  writeFileSync(join(dir, "store.pw"), kept);
  writeFileSync(join(dir, "ca.pem"), sim.certificate);
  const parsed = parseSection({ resourcegroup: "rg1", apica: join(dir, "ca.pem"), ...section });
  const endpoint = await endpointOf(parsed, "store", { secrets: dir, token: join(dir, "none") });
  const client = new LinstorClient(endpoint, quick.limits);
  t.teardown(() => client.close());
  return client;
}

test("a token goes over TLS, and the certificate is verified with it", async (t) => {
  const sim = await LinstorSimulator.start({ token: secret, port: null, tlsPort: 0 });
  t.teardown(() => sim.close());
  const controller = sim.urls.join(",");
  const { ctx } = context();
  const client = await connect(t, sim, { controller }, `apitoken ${secret}\n`);
  t.is((await client.group(ctx, "rg1")).name, "rg1");
  const stranger = await connect(t, sim, { controller, apica: undefined }, `apitoken ${secret}\n`);
  const error = await t.throwsAsync(() => stranger.group(ctx, "rg1"));
  t.is(codeOf(error), "refused");
  t.regex(error?.message ?? "", /certificate .* is not trusted/);
});

test("a wrong token is told as such, and is in no text", async (t) => {
  const sim = await LinstorSimulator.start({ token: "another", port: null, tlsPort: 0 });
  t.teardown(() => sim.close());
  const { ctx, lines } = context();
  const client = await connect(t, sim, { controller: sim.urls.join(",") }, `apitoken ${secret}\n`);
  const error = await t.throwsAsync(() => client.group(ctx, "rg1"));
  t.is(codeOf(error), "auth");
  t.false(`${error?.message}${lines.join("")}`.includes(secret));
});

test("user and password are sent where LINSTOR asks LDAP", async (t) => {
  const sim = await LinstorSimulator.start({ users: { pve: secret }, port: null, tlsPort: 0 });
  t.teardown(() => sim.close());
  const { ctx } = context();
  const section = { controller: sim.urls.join(","), apiuser: "pve" };
  const client = await connect(t, sim, section, `apipassword ${secret}\n`);
  t.is((await client.group(ctx, "rg1")).name, "rg1");
  t.is(codeOf(await t.throwsAsync(() => connect(t, sim, section))), "auth");
});

test("no credentials leave the node in clear", async (t) => {
  const dir = directory(t);
  writeFileSync(join(dir, "store.pw"), `apitoken ${secret}\n`);
  const section = parseSection({ resourcegroup: "rg1", controller: "http://10.0.0.1" });
  const error = await t.throwsAsync(() => endpointOf(section, "store", { secrets: dir, token: "/none" }));
  t.is(codeOf(error), "invalid");
  t.regex(error?.message ?? "", /in clear/);
});

test("the satellite's token is taken where the section has none, and TLS with it", async (t) => {
  const dir = directory(t);
  writeFileSync(join(dir, "auth.json"), JSON.stringify({ token: secret }));
  const section = parseSection({ resourcegroup: "rg1", controller: "10.0.0.1" });
  const endpoint = await endpointOf(section, "store", { secrets: dir, token: join(dir, "auth.json") });
  t.deepEqual(endpoint.controllers, ["https://10.0.0.1:3371"]);
  t.is(endpoint.authorization?.reveal(), `Bearer ${secret}`);
  writeFileSync(join(dir, "auth.json"), `{"token": 5, "x": "${secret}"}`);
  const error = await t.throwsAsync(() =>
    endpointOf(section, "store", { secrets: dir, token: join(dir, "auth.json") }),
  );
  t.is(codeOf(error), "auth");
  t.false(error?.message.includes(secret));
});

test.serial("secrets are kept beside the section, and go with it", async (t) => {
  const dir = directory(t);
  const before = process.env["PVE_BLOCKIO_CLUSTER_DIR"];
  process.env["PVE_BLOCKIO_CLUSTER_DIR"] = dir;
  t.teardown(() => {
    process.env["PVE_BLOCKIO_CLUSTER_DIR"] = before;
  });
  mkdirSync(join(dir, "priv"));
  const change = (sensitive: Record<string, string | null>, section: Record<string, unknown> = {}) => ({
    storeid: "store",
    section,
    changed: {},
    deleted: [],
    sensitive,
  });
  await storeSecrets(change({ apitoken: secret }), true);
  const section = parseSection({ resourcegroup: "rg1", controller: "a" });
  t.is((await endpointOf(section, "store", { token: "/none" })).authorization?.reveal(), `Bearer ${secret}`);
  await storeSecrets(change({ apitoken: null }), false);
  t.is((await endpointOf(section, "store", { token: "/none" })).authorization, undefined);
  for (const wrong of [{ apitoken: "" }, { apitoken: "a b" }, { apitoken: "a\nb" }])
    t.is(codeOf(await t.throwsAsync(() => storeSecrets(change(wrong), false))), "invalid");
  t.is(codeOf(await t.throwsAsync(() => storeSecrets(change({}, { apiuser: "u" }), false))), "invalid");
});
