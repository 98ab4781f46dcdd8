// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, during, fail } from "../../common/errors.js";
import { Secret } from "../../common/secret.js";
import type { SectionChange } from "../contract.js";
import { formatPasswords, type Passwords, parsePasswords } from "./passwords.js";
import { type JoviandssSection, joviandssProperties } from "./schema.js";
import { clusterDirectory, storageSections } from "./storage-cfg.js";

/** What a storage proves itself with. */
export interface Credentials {
  readonly password: Secret;
  /** The password is in storage.cfg, as earlier plugins had it. */
  readonly inline: boolean;
  readonly chapPassword: Secret | undefined;
}

/** Where the vendor's plugin has them too; only root reads it. */
function directory(): string {
  return join(clusterDirectory(), "priv/storage/joviandss");
}

function fileOf(storeid: string, dir = directory()): string {
  return join(dir, `${storeid}.pw`);
}

async function read(storeid: string, dir?: string): Promise<Passwords> {
  return during(`read the passwords of storage '${storeid}'`, async () => {
    const text = await readFile(fileOf(storeid, dir), "utf8").catch((error: unknown) => {
      if (codeOf(error) === "absent") return "";
      throw error;
    });
    return parsePasswords(text);
  });
}

async function write(storeid: string, passwords: Passwords): Promise<void> {
  const text = formatPasswords(passwords);
  await during(`store the passwords of storage '${storeid}'`, async () => {
    const path = fileOf(storeid);
    const made = `${path}.new`;
    await mkdir(directory(), { recursive: true, mode: 0o700 });
    await rm(made, { force: true });
    const file = await open(made, "wx", 0o600);
    try {
      await file.writeFile(text);
    } finally {
      await file.close();
    }
    await rename(made, path);
  });
}

/**
 * The secrets of a storage: from its file (in `dir`, or where PVE has them), the REST password else from an old section.
 *
 * @throws `auth` when there is none
 */
export async function credentialsOf(
  section: JoviandssSection,
  storeid: string,
  dir?: string,
): Promise<Credentials> {
  const stored = await read(storeid, dir);
  const password = stored.user_password ?? section.inlinePassword ?? (await inlinePassword(storeid));
  if (password === undefined)
    throw fail(
      "auth",
      `storage '${storeid}' has no user_password; set it with pvesm set ${storeid} --user_password`,
    );
  return {
    password,
    inline: stored.user_password === undefined,
    chapPassword: stored.chap_user_password,
  };
}

/** The password in a section that an earlier plugin wrote: PVE's side hands no secrets over. */
async function inlinePassword(storeid: string): Promise<Secret | undefined> {
  const section = (await storageSections()).find((one) => one.storeid === storeid);
  const value = section?.values.get("user_password");
  return value === undefined ? undefined : new Secret(value);
}

/** The secrets that a section keeps outside of storage.cfg. */
const names = ["user_password", "chap_user_password"] as const;
/** What cannot be taken away from a section. */
const needed = ["user_name", "user_password"];
const neededForChap = ["chap_user_name", "chap_user_password"];

/** What is wrong with values is said without the values. */
function checked(name: (typeof names)[number], value: string): Secret {
  const result = joviandssProperties[name].schema.safeParse(value);
  if (result.success && value !== "") return new Secret(value);
  const [issue] = result.error?.issues ?? [];
  throw fail("invalid", `${name}: ${issue?.message ?? "it is empty"}; choose another one`);
}

/** Stores the secrets of a section that is added or changed. @throws `invalid`, `refused` */
export async function storeSecrets(change: SectionChange, added: boolean): Promise<void> {
  const { storeid, section, sensitive, deleted } = change;
  const given = names.filter((name) => typeof sensitive[name] === "string");
  const gone = new Set([...deleted, ...names.filter((name) => sensitive[name] === null)]);
  const both = [...given, ...Object.keys(change.changed)].find((name) => gone.has(name));
  if (both !== undefined) throw fail("invalid", `${both} is set and deleted at once; do one after the other`);
  const chap = isOn(section["chap_enabled"]);
  for (const name of [...needed, ...(chap ? neededForChap : [])]) {
    if (gone.has(name))
      throw fail("refused", `${name} cannot be deleted: storage '${storeid}' needs it; set another value`);
  }
  const before = added ? {} : await read(storeid);
  const after: { -readonly [K in keyof Passwords]: Passwords[K] } = { ...before };
  for (const name of names) {
    if (gone.has(name)) delete after[name];
    const value = sensitive[name];
    if (typeof value === "string") after[name] = checked(name, value);
  }
  const inline = section["user_password"] ?? (added ? undefined : await inlinePassword(storeid));
  if (after.user_password === undefined && inline === undefined)
    throw fail("invalid", `storage '${storeid}' needs user_password; give it with --user_password`);
  if (chap && (after.chap_user_password === undefined || !section["chap_user_name"]))
    throw fail("invalid", "chap_enabled needs chap_user_name and chap_user_password; give both");
  if (added || given.length > 0 || names.some((name) => gone.has(name))) await write(storeid, after);
}

/** Forgets the secrets of a storage. */
export async function dropSecrets(storeid: string): Promise<void> {
  await during(`remove the passwords of storage '${storeid}'`, () => rm(fileOf(storeid), { force: true }));
}

function isOn(value: unknown): boolean {
  return value === true || value === 1 || value === "1" || value === "yes";
}
