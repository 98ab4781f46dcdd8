// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";
import { Secret } from "../../common/secret.js";
import type { SectionChange } from "../contract.js";
import { PasswordFiles } from "../password-file.js";

export const passwordFiles = new PasswordFiles("drbd", ["apitoken", "apipassword"]);

/** Stores the secrets of a section that is added or changed. @throws `invalid` */
export async function storeSecrets(change: SectionChange, added: boolean): Promise<void> {
  const { storeid, section, sensitive, deleted } = change;
  const { names } = passwordFiles;
  const after: Partial<Record<(typeof names)[number], Secret>> = added
    ? {}
    : { ...(await passwordFiles.read(storeid)) };
  for (const name of names) {
    const value = sensitive[name];
    if (value === null || deleted.includes(name)) delete after[name];
    if (typeof value !== "string") continue;
    // It becomes a part of a header.
    if (value === "" || (name === "apitoken" && /[^\x21-\x7e]/.test(value)))
      throw fail("invalid", `${name}: it is empty or has other characters than a header takes; give another`);
    after[name] = new Secret(value);
  }
  if (section["apiuser"] !== undefined && !deleted.includes("apiuser") && after.apipassword === undefined)
    throw fail("invalid", "apiuser needs apipassword; give both");
  if (Object.keys(after).length > 0) await passwordFiles.write(storeid, after);
  else await passwordFiles.remove(storeid);
}

/** Forgets the secrets of a storage. */
export async function dropSecrets(storeid: string): Promise<void> {
  await passwordFiles.remove(storeid);
}
