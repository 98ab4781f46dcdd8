// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";
import { Secret } from "../../common/secret.js";
import type { SectionChange } from "../contract.js";
import { PasswordFiles } from "../password-file.js";
import { type JoviandssSection, joviandssProperties } from "./schema.js";
import { storageSections } from "./storage-cfg.js";

/** What a storage proves itself with. */
export interface Credentials {
  readonly password: Secret;
  /** The password is in storage.cfg, as earlier plugins had it. */
  readonly inline: boolean;
  readonly chapPassword: Secret | undefined;
}

/** The vendor's plugin has them in the same place. */
export const passwordFiles = new PasswordFiles("joviandss", ["user_password", "chap_user_password"]);

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
  const stored = await passwordFiles.read(storeid, dir);
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
const { names } = passwordFiles;
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
  const before = added ? {} : await passwordFiles.read(storeid);
  const after: Partial<Record<(typeof names)[number], Secret>> = { ...before };
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
  if (added || given.length > 0 || names.some((name) => gone.has(name)))
    await passwordFiles.write(storeid, after);
}

/** Forgets the secrets of a storage. */
export async function dropSecrets(storeid: string): Promise<void> {
  await passwordFiles.remove(storeid);
}

function isOn(value: unknown): boolean {
  return value === true || value === 1 || value === "1" || value === "yes";
}
