// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, during, fail } from "../common/errors.js";
import { Secret } from "../common/secret.js";
import { clusterDirectory } from "./guest.js";

/** Secrets by the name of their property. */
export type Passwords<N extends string> = Readonly<Partial<Record<N, Secret>>>;

/** The secrets of storages of one type, in `/etc/pve/priv/storage/TYPE/STOREID.pw`; only root reads it. */
export class PasswordFiles<N extends string> {
  constructor(
    private readonly type: string,
    readonly names: readonly N[],
  ) {}

  /** The secrets of a storage, from PVE's place for them or from `dir`. */
  async read(storeid: string, dir = this.#directory()): Promise<Passwords<N>> {
    return during(`read the passwords of storage '${storeid}'`, async () => {
      const text = await readFile(join(dir, `${storeid}.pw`), "utf8").catch((error: unknown) => {
        if (codeOf(error) === "absent") return "";
        throw error;
      });
      return this.parse(text);
    });
  }

  async write(storeid: string, passwords: Passwords<N>): Promise<void> {
    const text = this.format(passwords);
    await during(`store the passwords of storage '${storeid}'`, async () => {
      const path = join(this.#directory(), `${storeid}.pw`);
      const made = `${path}.new`;
      await mkdir(this.#directory(), { recursive: true, mode: 0o700 });
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

  /** Forgets the secrets of a storage. */
  async remove(storeid: string): Promise<void> {
    await during(`remove the passwords of storage '${storeid}'`, () =>
      rm(join(this.#directory(), `${storeid}.pw`), { force: true }),
    );
  }

  /** Reads the file's text. Other lines are of no meaning. */
  parse(text: string): Passwords<N> {
    const found: Partial<Record<N, Secret>> = {};
    for (const line of text.split("\n")) {
      const at = line.indexOf(" ");
      const name = this.names.find((one) => one === line.slice(0, at));
      const value = line.slice(at + 1).trim();
      if (name !== undefined && value !== "") found[name] = new Secret(value);
    }
    return found;
  }

  /**
   * The file's text: one blank behind the name, because JovianDSS's vendor has two readers that take more of them
   * differently.
   *
   * @throws `invalid` for what cannot be read back: blanks at the ends, line feeds
   */
  format(passwords: Passwords<N>): string {
    return this.names
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

  #directory(): string {
    return join(clusterDirectory(), "priv/storage", this.type);
  }
}
