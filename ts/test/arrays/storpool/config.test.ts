// SPDX-License-Identifier: AGPL-3.0-or-later
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { inspect } from "node:util";
import test, { type ExecutionContext } from "ava";
import { loadConfig } from "../../../src/arrays/storpool/config.js";
import { readConfigFiles } from "../../../src/arrays/storpool/config-file.js";
import { createLogger } from "../../../src/common/log.js";

const token = "1556129910218014736";
const complete = `SP_API_HTTP_HOST=10.1.100.2\nSP_API_HTTP_PORT=81\nSP_AUTH_TOKEN=${token}\n`;
const never = new AbortController().signal;

function rootWith(t: ExecutionContext, files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "storpool-config-"));
  t.teardown(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    if (path.endsWith("storpool_confget")) chmodSync(join(root, path), 0o755);
  }
  return root;
}

async function variables(
  t: ExecutionContext,
  files: Record<string, string>,
): Promise<Record<string, string>> {
  return Object.fromEntries(await readConfigFiles(rootWith(t, files), "pve1"));
}

function load(root: string, env: Record<string, string> = {}, node = "pve1") {
  return loadConfig(never, { root, node, env });
}

test("the main file with a section for each node", async (t) => {
  const text = `# ours\n${complete}\n[pve1]\nSP_OURID=11\n[pve2]\nSP_OURID=12\n`;
  const root = rootWith(t, { "etc/storpool.conf": text });
  const { token: secret, ...rest } = await load(root, {}, "pve2");
  t.deepEqual(rest, {
    host: "10.1.100.2",
    port: 81,
    ourId: 12,
    veeamCompat: false,
    failMigrationParent: false,
  });
  t.is(secret.reveal(), token);
  t.is((await load(root)).ourId, 11);
});

test("switches of the plugin are on only with 1", async (t) => {
  const main = `${complete}SP_OURID=1\n`;
  const on = "_SP_VEEAM_COMPAT=1\n_FAIL_MIGRATION_PARENT = 1\n";
  const root = rootWith(t, { "etc/storpool.conf": main, "etc/storpool.conf.d/proxmox.conf": on });
  t.like(await load(root), { veeamCompat: true, failMigrationParent: true });
  const off = "_SP_VEEAM_COMPAT=0\n_FAIL_MIGRATION_PARENT=\n";
  const other = rootWith(t, { "etc/storpool.conf": main, "etc/storpool.conf.d/proxmox.conf": off });
  t.like(await load(other), { veeamCompat: false, failMigrationParent: false });
});

test("comments, blank lines, blanks around the sign and further signs", async (t) => {
  const text = "# A=1\n; B=2\n\n  C =  x y \nD=a=b=c\n\tE\t=\t1\nF=\nG=a#b ;c\r\n";
  t.deepEqual(await variables(t, { "etc/storpool.conf": text }), {
    C: "x y",
    D: "a=b=c",
    E: "1",
    F: "",
    G: "a#b ;c",
  });
});

test("a backslash continues a line, but not a comment", async (t) => {
  const text = "A=1\\\n2\\\n3\n# comment \\\nB=4\nC=5\\";
  t.deepEqual(await variables(t, { "etc/storpool.conf": text }), { A: "123", B: "4", C: "5" });
});

test("drop-ins are read in byte order of their names", async (t) => {
  const files = { "b.conf": "A=b\nX=b", "a.conf": "A=a\nY=a", "B.conf": "A=B\nY=B", "ä.conf": "A=ä" };
  const read = await variables(t, {
    "etc/storpool.conf": "A=main\nX=main\nZ=main",
    ...Object.fromEntries(Object.entries(files).map(([name, text]) => [`etc/storpool.conf.d/${name}`, text])),
  });
  t.deepEqual(read, { A: "ä", X: "b", Y: "a", Z: "main" });
});

test("hidden files, other endings and directories are skipped", async (t) => {
  const names = [".a.conf", "a.confx", "a.conf~", "a.conf.bak", "conf", "aconf", "dir.conf/inner"];
  const files = Object.fromEntries(names.map((name) => [`etc/storpool.conf.d/${name}`, "A=wrong"]));
  t.deepEqual(await variables(t, { "etc/storpool.conf": "A=right", ...files }), { A: "right" });
});

test("the node's section wins over the unnamed one of the same file only", async (t) => {
  const read = await variables(t, {
    "etc/storpool.conf": "A=1\nB=1\nC=1\n[pve1]\nA=2\nB=2\n[pve10]\nC=9",
    "etc/storpool.conf.d/x.conf": "A=3\n[ pve1 ]\nD=4\n[other]\nD=5\n[pve1]\nE=6",
  });
  t.deepEqual(read, { A: "3", B: "2", C: "1", D: "4", E: "6" });
});

test("the node's section counts also when it is above its file's end", async (t) => {
  t.deepEqual(await variables(t, { "etc/storpool.conf": "[pve1]\nA=1\n[pve2]\nA=2" }), { A: "1" });
});

test("a damaged line is refused by number and never quoted", async (t) => {
  for (const line of [`SP_AUTH_TOKEN ${token}`, "[pve1", `=${token}`]) {
    const root = rootWith(t, { "etc/storpool.conf": `A=1\n${line}\nB=2` });
    const error = await t.throwsAsync(load(root), { code: "invalid", message: /storpool\.conf line 2 / });
    t.false(inspect(error).includes(token));
  }
});

test("exactly three variables are overridden by the environment", async (t) => {
  const main = `${complete}SP_OURID=1\n_SP_VEEAM_COMPAT=1\n`;
  const env = {
    SP_AUTH_TOKEN: "777",
    SP_API_HTTP_HOST: "api.example",
    SP_API_HTTP_PORT: "82",
    SP_OURID: "99",
    _SP_VEEAM_COMPAT: "0",
  };
  const config = await load(rootWith(t, { "etc/storpool.conf": main }), env);
  t.like(config, { host: "api.example", port: 82, ourId: 1, veeamCompat: true });
  t.is(config.token.reveal(), "777");
});

test("an empty variable of the environment overrides nothing", async (t) => {
  const root = rootWith(t, { "etc/storpool.conf": `${complete}SP_OURID=1` });
  t.is((await load(root, { SP_API_HTTP_HOST: "" })).host, "10.1.100.2");
});

test("all that is missing is named at once, with the file to edit", async (t) => {
  const error = await t.throwsAsync(load(rootWith(t, {})), { code: "invalid" });
  for (const name of ["SP_API_HTTP_HOST", "SP_API_HTTP_PORT", "SP_AUTH_TOKEN", "SP_OURID"]) {
    t.true(error?.message.includes(`${name} is missing`), name);
  }
  t.regex(error?.message ?? "", /\/etc\/storpool\.conf .*\[pve1\].*\/etc\/storpool\.conf\.d/);
});

const malformed: Record<string, string[]> = {
  SP_API_HTTP_HOST: ["a b", "a/b", "user@host"],
  SP_API_HTTP_PORT: ["0", "65536", "x", "-1", "081"],
  SP_AUTH_TOKEN: ["with blank inside", "tökens"],
  SP_OURID: ["0", "4096", "x", "1.5"],
};
for (const [name, values] of Object.entries(malformed)) {
  test(`${name} is refused when it is malformed, without quoting it`, async (t) => {
    for (const value of values) {
      const root = rootWith(t, { "etc/storpool.conf": `${complete}SP_OURID=1\n${name}=${value}\n` });
      const error = await t.throwsAsync(load(root), { code: "invalid" });
      t.true(error?.message.includes(`${name} must be`), value);
      t.false(name === "SP_AUTH_TOKEN" && error?.message.includes(value));
    }
  });
}

test("an IPv6 address may be in brackets", async (t) => {
  const root = rootWith(t, { "etc/storpool.conf": `${complete}SP_OURID=1\nSP_API_HTTP_HOST=[fd00::1]\n` });
  t.is((await load(root)).host, "fd00::1");
});

test("the token shows nowhere", async (t) => {
  const config = await load(rootWith(t, { "etc/storpool.conf": `${complete}SP_OURID=1` }));
  const lines: string[] = [];
  createLogger({ write: (line) => lines.push(line) }).info("config", { config, other: config.token });
  const shown = [inspect(config, { showHidden: true, depth: 9 }), JSON.stringify(config), `${config.token}`];
  for (const text of [...shown, ...lines]) t.false(text.includes(token), text);
  t.true(shown.every((text) => text.includes("***")));
});

const tool = "usr/sbin/storpool_confget";

test("the tool's answer counts where it is installed", async (t) => {
  const root = rootWith(t, {
    "etc/storpool.conf": "SP_API_HTTP_HOST=wrong",
    [tool]: `#!/bin/sh\n[ "$LC_ALL" = C ] || exit 3\n[ $# = 0 ] || exit 4\ncat <<X\n${complete}SP_OURID = 7\nX=a=b\nX\n`,
  });
  const config = await load(root, { SP_API_HTTP_PORT: "90" });
  t.like(config, { host: "10.1.100.2", port: 90, ourId: 7 });
  t.is(config.token.reveal(), token);
});

test("a failing tool is not papered over, and what it prints is not quoted", async (t) => {
  const root = rootWith(t, {
    "etc/storpool.conf": `${complete}SP_OURID=1`,
    [tool]: `#!/bin/sh\necho "bad line: SP_AUTH_TOKEN ${token}" >&2\nexit 5\n`,
  });
  const error = await t.throwsAsync(load(root), {
    code: "invalid",
    message: /storpool_confget failed \(status 5\)/,
  });
  t.false(inspect(error).includes(token));
});

test("a tool that hangs ends with the caller's patience", async (t) => {
  const root = rootWith(t, { [tool]: "#!/bin/sh\nexec sleep 5\n" });
  const started = performance.now();
  await t.throwsAsync(loadConfig(AbortSignal.timeout(200), { root, node: "pve1", env: {} }), {
    code: "timeout",
  });
  t.true(performance.now() - started < 3_000);
});
