// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";
import { Secret } from "../../common/secret.js";

/** The secrets of a storage, as `/etc/pve/priv/storage/joviandss/STOREID.pw` has them. */
export interface Passwords {
  readonly user_password?: Secret;
  readonly chap_user_password?: Secret;
}

const names = ["user_password", "chap_user_password"] as const;

/** Reads the file's text. Other lines are of no meaning. */
export function parsePasswords(text: string): Passwords {
  const found: { -readonly [K in keyof Passwords]: Passwords[K] } = {};
  for (const line of text.split("\n")) {
    const at = line.indexOf(" ");
    const name = names.find((one) => one === line.slice(0, at));
    const value = line.slice(at + 1).trim();
    if (name !== undefined && value !== "") found[name] = new Secret(value);
  }
  return found;
}

/**
 * The file's text: one blank behind the name, because the vendor's two readers take more of them differently.
 *
 * @throws `invalid` for what cannot be read back: blanks at the ends, line feeds
 */
export function formatPasswords(passwords: Passwords): string {
  return names
    .flatMap((name) => {
      const value = passwords[name]?.reveal();
      if (value === undefined) return [];
      if (value === "" || value !== value.trim() || /[\r\n]/.test(value))
        throw fail(
          "invalid",
          `${name}: blanks at the ends and line feeds cannot be kept; choose another one`,
        );
      return [`${name} ${value}\n`];
    })
    .join("");
}
