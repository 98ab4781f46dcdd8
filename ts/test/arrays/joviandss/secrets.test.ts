// SPDX-License-Identifier: AGPL-3.0-or-later
import { existsSync, readFileSync, statSync } from "node:fs";
import anyTest, { type ExecutionContext } from "ava";
import { dispatch } from "../../../src/bridge/dispatch.js";
import { requestSchema } from "../../../src/bridge/protocol.js";
import { clusterFile, clusterPath, Nodes, type Section } from "./nodes.js";

// They share PVE's file system for the cluster.
const test = anyTest.serial;
const file = "priv/storage/joviandss/jdss.pw";

/** A section as PVE hands it over: without secrets. */
async function start(t: ExecutionContext, more: Section = {}) {
  clusterFile(file, "");
  clusterFile("storage.cfg", "");
  const n = await Nodes.start(t, { section: { user_password: undefined, ...more } });
  const ask = (method: string, args: object) => {
    const request = requestSchema.parse({ id: 1, method, storeid: "jdss", scfg: n.section, args });
    const caller = { leases: new Map(), signal: new AbortController().signal, log: n.ctx.log };
    return dispatch(n.services.a, request, caller);
  };
  const stored = () => readFileSync(clusterPath(file), "utf8");
  return { n, ask, stored };
}

const chap = { chap_enabled: 1, chap_user_name: "pve" };

test("a storage that is added has its passwords in a file of its own, and loses them when it is removed", async (t) => {
  const { n, ask, stored } = await start(t, chap);
  const sensitive = { user_password: n.sim.password, chap_user_password: "twelve-letters" };
  await ask("on_add_hook", { sensitive });
  t.is(stored(), `user_password ${n.sim.password}\nchap_user_password twelve-letters\n`);
  t.is(statSync(clusterPath(file)).mode & 0o777, 0o600);
  await ask("activate_storage", {});
  await ask("on_delete_hook", {});
  t.false(existsSync(clusterPath(file)));
});

test("a storage without password, or without that of CHAP, is not added", async (t) => {
  const { ask } = await start(t, chap);
  await t.throwsAsync(ask("on_add_hook", { sensitive: {} }), { code: "invalid", message: /user_password/ });
  await t.throwsAsync(ask("on_add_hook", { sensitive: { user_password: "x" } }), {
    code: "invalid",
    message: /chap_user_password/,
  });
  const short = { user_password: "x", chap_user_password: "short" };
  const error = await t.throwsAsync(ask("on_add_hook", { sensitive: short }), { code: "invalid" });
  t.notRegex(error?.message ?? "", /short/);
});

test("passwords are replaced, kept and refused to be deleted", async (t) => {
  const { n, ask, stored } = await start(t, chap);
  const update = (sensitive: object, more: object = {}) =>
    ask("on_update_hook", { update: {}, delete: [], sensitive, ...more });
  await ask("on_add_hook", { sensitive: { user_password: "wrong", chap_user_password: "twelve-letters" } });
  await t.throwsAsync(ask("activate_storage", {}), { code: "auth", message: /user_password/ });
  await update({ user_password: n.sim.password });
  t.is(stored(), `user_password ${n.sim.password}\nchap_user_password twelve-letters\n`);
  await ask("activate_storage", {});
  await update({}, { update: { debug: 1 } });
  t.true(stored().includes("twelve-letters"));
  for (const name of ["user_password", "chap_user_password"])
    await t.throwsAsync(update({ [name]: null }), { code: "refused", message: new RegExp(name) });
  for (const name of ["user_name", "chap_user_name"])
    await t.throwsAsync(update({}, { delete: [name] }), { message: new RegExp(name) });
  await t.throwsAsync(update({ user_password: "x" }, { delete: ["user_password"] }), {
    code: "invalid",
    message: /set and deleted at once/,
  });
  await update({ chap_user_password: null }, { update: { chap_enabled: 0 } });
  t.is(stored(), `user_password ${n.sim.password}\n`);
});

test("CHAP is not switched on without its password", async (t) => {
  const { n, ask } = await start(t);
  await ask("on_add_hook", { sensitive: { user_password: n.sim.password } });
  const update = { update: chap, delete: [] };
  await t.throwsAsync(ask("on_update_hook", { ...update, sensitive: {} }), { message: /chap_user_password/ });
  await ask("on_update_hook", { ...update, sensitive: { chap_user_password: "twelve-letters" } });
});

test("a password in storage.cfg goes on to work, with a warning that names the way out", async (t) => {
  const { n, ask, stored } = await start(t);
  clusterFile("storage.cfg", `joviandss: jdss\n\tpool_name Pool-0\n\tuser_password ${n.sim.password}\n`);
  await ask("activate_storage", {});
  const warned = () => n.lines.filter((line) => line.includes("pvesm set jdss --user_password")).length;
  t.is(warned(), 1);
  await ask("status", {});
  t.is(warned(), 1, "once");
  await ask("on_update_hook", { update: { debug: 1 }, delete: [], sensitive: {} });
  t.is(stored(), "", "nothing was given");
  await ask("on_update_hook", { update: {}, delete: [], sensitive: { user_password: n.sim.password } });
  t.is(stored(), `user_password ${n.sim.password}\n`);
  t.notRegex(n.lines.join(""), new RegExp(n.sim.password));
});

test("a new password on another node is used at once", async (t) => {
  const { n, ask } = await start(t);
  await ask("on_add_hook", { sensitive: { user_password: n.sim.password } });
  await ask("activate_storage", {});
  n.sim.changePassword("the-next-password");
  await t.throwsAsync(ask("status", {}), { code: "auth" });
  clusterFile(file, "user_password the-next-password\n");
  await ask("status", {});
});

test("what is wrong with a change is said before anything is stored", async (t) => {
  const { n, ask, stored } = await start(t);
  await ask("on_add_hook", { sensitive: { user_password: n.sim.password } });
  const change = { update: { block_size: "3K" }, delete: [], sensitive: { user_password: "another" } };
  await t.throwsAsync(ask("on_update_hook", change), { code: "invalid", message: /block_size/ });
  t.is(stored(), `user_password ${n.sim.password}\n`);
});
