// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { systemCertificates } from "../../src/common/http/trust.js";

test("the certificates that this machine trusts come from OpenSSL's file, and a wrong name is no silent default", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "blockio-trust-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, "ca.pem");
  writeFileSync(file, "-----BEGIN CERTIFICATE-----\n");
  t.is(await systemCertificates({ SSL_CERT_FILE: file }), "-----BEGIN CERTIFICATE-----\n");
  await t.throwsAsync(systemCertificates({ SSL_CERT_FILE: join(dir, "none") }), {
    code: "absent",
    message: /none/,
  });
});
