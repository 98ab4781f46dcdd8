// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFile } from "node:fs/promises";
import { during } from "../errors.js";

/** What `update-ca-certificates` writes. */
const systemFile = "/etc/ssl/certs/ca-certificates.crt";

/**
 * The certificates that this machine trusts, in PEM: Node itself only knows those that it brings along. OpenSSL's
 * `SSL_CERT_FILE` names another file. Undefined when the machine has none.
 */
export async function systemCertificates(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string | undefined> {
  const file = env["SSL_CERT_FILE"] || systemFile;
  return during(`read certificates from ${file}`, async () => {
    try {
      return await readFile(file, "utf8");
    } catch (error) {
      if ((error as { code?: string }).code === "ENOENT" && file === systemFile) return undefined;
      throw error;
    }
  });
}
