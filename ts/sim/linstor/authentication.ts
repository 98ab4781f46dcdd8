// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Answer } from "../common/exchange.js";
import { returnCode, special } from "./codes.js";
import { exactAnswer } from "./json.js";
import { type Entry, shownEntries } from "./replies.js";

/** Who may ask. */
export interface Access {
  readonly token: string | undefined;
  readonly users: Readonly<Record<string, string>> | undefined;
}

/** The answer to a request that may not ask; undefined for one that may. */
export function refusedAccess(
  { token, users }: Access,
  authorization: string | undefined,
  now: number,
): Answer | undefined {
  const answer = (status: number, entry: Entry, challenge?: string): Answer => ({
    ...exactAnswer(status, shownEntries([entry], new Date(now).toISOString())),
    headers: challenge === undefined ? {} : { "www-authenticate": challenge },
  });
  if (token !== undefined && authorization !== `Bearer ${token}`) {
    const code = returnCode("commandDenied", "none", "none");
    const message =
      authorization === undefined ? "Authentication token required" : "Invalid authentication token";
    return answer(401, { code, message }, 'Bearer realm="linstor-controller"');
  }
  if (users === undefined) return undefined;
  if (authorization === undefined)
    return answer(
      401,
      { code: special.missingCredentials, message: "Login required but no user credentials given." },
      'Basic realm="Linstor"',
    );
  const known = Object.entries(users).some(
    ([user, password]) => authorization === `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
  );
  return known
    ? undefined
    : answer(403, { code: special.signIn, message: "Sign-in failed: wrong user or password." });
}
