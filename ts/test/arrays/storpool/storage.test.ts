// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { type SimulatorOptions, StorPoolSimulator } from "../../../sim/storpool/index.js";
import { dispatch } from "../../../src/bridge/dispatch.js";
import { requestSchema } from "../../../src/bridge/protocol.js";
import type { BlockioError } from "../../../src/common/errors.js";
import { silentLogger } from "../../../src/common/log.js";
import { Storages } from "../../../src/plugin/storage.js";

const top = mkdtempSync(join(tmpdir(), "blockio-storpool-"));
process.env["PVE_BLOCKIO_STORPOOL_ROOT"] = join(top, "{template}");
process.env["PVE_BLOCKIO_CLUSTER_DIR"] = join(top, "cluster");
test.after.always(() => rmSync(top, { recursive: true, force: true }));

/** A storage on a simulator, asked as the shim asks. Templates are the names of the tests' clusters. */
async function storage(
  t: ExecutionContext,
  template: string,
  options: SimulatorOptions & { readonly wrongToken?: boolean; readonly called?: string } = {},
) {
  const sim = await StorPoolSimulator.start({ templates: [options.called ?? template], ...options });
  const etc = join(top, template, "etc");
  mkdirSync(etc, { recursive: true });
  const token = options.wrongToken ? "wrong" : sim.token;
  writeFileSync(
    join(etc, "storpool.conf"),
    `SP_API_HTTP_HOST=127.0.0.1\nSP_API_HTTP_PORT=${sim.port}\nSP_AUTH_TOKEN=${token}\nSP_OURID=11\n`,
  );
  const storages = new Storages({ name: "node-a" });
  t.teardown(async () => {
    await storages.close();
    await sim.close();
  });
  const ask = async (method: string, args: object = {}): Promise<unknown> => {
    const scfg = { type: "storpool", template };
    const request = requestSchema.parse({ id: 1, method, storeid: "sp", scfg, args });
    const caller = { leases: new Map(), signal: new AbortController().signal, log: silentLogger };
    return dispatch(storages, request, caller);
  };
  const code = (method: string, args: object = {}) =>
    ask(method, args).then(
      () => "succeeded",
      (error: BlockioError) => `${error.code}: ${error.message}`,
    );
  return { sim, ask, code };
}

test("a wrong token is told as that, at once, and is nowhere in the message", async (t) => {
  const { sim, code } = await storage(t, "token", { wrongToken: true });
  for (const method of ["activate_storage", "status", "list_images"]) {
    const said = await code(method, method === "list_images" ? { vmid: null, vollist: null } : {});
    t.regex(said, /^auth: .*SP_AUTH_TOKEN/, method);
    t.false(said.includes("wrong"), said);
  }
  t.true(sim.journal.entries.length <= 4, "credentials that were rejected are not tried again and again");
});

test("the disks of one guest among many volumes and snapshots cost one request", async (t) => {
  const { sim, ask } = await storage(t, "large");
  const tags = { virt: "pve", "pve-loc": "node-a", pve: "sp", "pve-type": "images" };
  const post = async (path: string, body: object): Promise<{ data: Record<string, string> }> => {
    const answer = await fetch(`${sim.url}/ctrl/1.0/${path}`, {
      method: "POST",
      headers: { authorization: `Storpool v1:${sim.token}` },
      body: JSON.stringify(body),
    });
    return (await answer.json()) as { data: Record<string, string> };
  };
  const guests = Number(process.env["STORPOOL_GUESTS"] ?? 50);
  for (let vm = 0; vm < guests; vm++) {
    const own = { ...tags, "pve-vm": `${100 + vm}`, "pve-disk": "0" };
    const { data } = await post("VolumeCreate", { template: "large", size: 1 << 20, tags: own });
    const gid = data["globalId"] ?? "";
    for (let n = 0; n < 5; n++) {
      const snap = { ...own, "pve-snap": `s${n}x`, "pve-snap-v": gid };
      await post(`VolumeSnapshot/~${gid}`, { tags: snap });
    }
  }
  await ask("list_images", { vmid: 100, vollist: null });
  sim.journal.clear();
  const started = performance.now();
  const found = (await ask("list_images", { vmid: 120, vollist: null })) as unknown[];
  t.log(`${Math.round(performance.now() - started)} ms`);
  t.is(found.length, 1);
  t.deepEqual(
    sim.journal.entries.map(({ path }) => path),
    ["VolumesAndSnapshotsList"],
  );
});
