// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFile } from "node:fs/promises";
import * as z from "zod";
import { codeOf, during, fail } from "../../common/errors.js";
import { systemCertificates } from "../../common/http/trust.js";
import { Secret } from "../../common/secret.js";
import { isOwnNode, originOf } from "./controllers.js";
import type { Endpoint } from "./dialect.js";
import type { LinstorSection } from "./schema.js";
import { passwordFiles } from "./secrets.js";

/** Where a satellite keeps the token that the controller gave it. */
export const satelliteToken = "/var/lib/linstor.d/auth.json";

/**
 * Whom to ask, and with which credentials: read each time, they may change on another node. Certificates are always
 * verified, and credentials never leave the node in clear.
 *
 * @throws `auth`, `invalid`
 */
export async function endpointOf(
  section: LinstorSection,
  storeid: string,
  { secrets, token = satelliteToken }: { readonly secrets?: string; readonly token?: string } = {},
): Promise<Endpoint> {
  const authorization = await authorizationOf(section, storeid, secrets, token);
  const { certificates } = section;
  const tls = certificates.ca !== undefined || certificates.cert !== undefined || authorization !== undefined;
  const controllers = [...new Set(section.controllers.map((one) => originOf(one, tls)))];
  const clear = controllers.find((origin) => origin.startsWith("http:") && !isOwnNode(origin));
  if (authorization && clear !== undefined)
    throw fail("invalid", `controller ${clear} would get token or password in clear; write https:// there`);
  const [ca, cert, key] = await Promise.all([
    certificates.ca === undefined ? systemCertificates() : pem("apica", certificates.ca),
    pem("apicrt", certificates.cert),
    pem("apikey", certificates.key),
  ]);
  return {
    controllers,
    ...(authorization ? { authorization } : {}),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key: new Secret(key) }),
  };
}

async function authorizationOf(
  { user }: LinstorSection,
  storeid: string,
  secrets: string | undefined,
  tokenFile: string,
): Promise<Secret | undefined> {
  const { apitoken, apipassword } = await passwordFiles.read(storeid, secrets);
  if (user !== undefined) {
    if (apipassword === undefined)
      throw fail(
        "auth",
        `storage '${storeid}' has apiuser and no apipassword; set it with pvesm set ${storeid} --apipassword`,
      );
    return new Secret(`Basic ${Buffer.from(`${user}:${apipassword.reveal()}`).toString("base64")}`);
  }
  const token = apitoken ?? (await tokenOf(tokenFile));
  return token === undefined ? undefined : new Secret(`Bearer ${token.reveal()}`);
}

const tokenSchema = z.object({ token: z.string().regex(/^[\x21-\x7e]+$/) });

/** The satellite's own token; undefined when it has none. */
async function tokenOf(path: string): Promise<Secret | undefined> {
  return during(`read LINSTOR's token from ${path}`, async () => {
    const text = await readFile(path, "utf8").catch((error: unknown) => {
      if (codeOf(error) === "absent") return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    try {
      return new Secret(tokenSchema.parse(JSON.parse(text)).token);
    } catch {
      // Never with its content.
      throw fail("auth", `${path} has no token in it; renew it with linstor, or set apitoken`);
    }
  });
}

async function pem(property: string, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  return during(`${property}: read ${path}`, () => readFile(path, "utf8"));
}
