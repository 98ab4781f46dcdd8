// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { BlockioError, type ErrorCode } from "../../common/errors.js";

/** Names and texts of StorPool's errors are looked at in this file only. */
const errorSchema = z.object({
  name: z.string().catch("unknown"),
  descr: z.string().catch("no description"),
  transient: z.boolean().catch(false),
});

/** An error that StorPool itself answered with. */
export type ArrayAnswer = z.infer<typeof errorSchema>;

/** The error in a reply, which can come with any HTTP status; undefined when there is none. */
export function errorIn(body: unknown): ArrayAnswer | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const error = (body as { error?: unknown }).error;
  if (error === undefined || error === null || error === false) return undefined;
  return errorSchema.parse(typeof error === "object" ? error : { descr: String(error) });
}

/** StorPool said no. */
export class ArrayError extends BlockioError {
  /** StorPool's own name for it. */
  readonly errorName: string;
  /** A client has the device open; it may close it soon. */
  readonly open: boolean;
  /** An earlier attempt of the same command got no reply, so the answer may be a consequence of it. */
  readonly afterLost: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    is: { readonly errorName: string; readonly open: boolean; readonly afterLost: boolean },
  ) {
    super(code, message);
    this.errorName = is.errorName;
    this.open = is.open;
    this.afterLost = is.afterLost;
  }
}

const nextStep: Readonly<Partial<Record<ErrorCode, string>>> = {
  absent: "check the name with pvesm list",
  exists: "choose another name",
  busy: "stop what uses it, then repeat",
  "no-space": "free or add space",
  invalid: "correct what the text names",
  auth: "set SP_AUTH_TOKEN in /etc/storpool.conf or /etc/storpool.conf.d",
  unreachable: "try again, and look at the cluster's state with storpool service list",
  refused: "do what the text says",
};

/**
 * The typed error of an answer. `what` names operation and object.
 *
 * An answer that is marked as passing says nothing certain about the object, so it never becomes `absent`.
 */
export function arrayError(what: string, answer: ArrayAnswer, afterLost = false): ArrayError {
  const open = /\bis open at\b/i.test(answer.descr) && ["busy", "invalidParam"].includes(answer.name);
  if (/no such client registered/i.test(answer.descr)) {
    const text =
      `${what}: StorPool knows no client of this number (${answer.name}: ${answer.descr}); ` +
      "start storpool_block on the node, or correct its SP_OURID";
    return new ArrayError("refused", text, { errorName: answer.name, open: false, afterLost });
  }
  const code = codeOfAnswer(answer, open);
  const message = `${what}: StorPool says ${answer.name}: ${answer.descr}; ${nextStep[code] ?? "see its log"}`;
  return new ArrayError(code, message, { errorName: answer.name, open, afterLost });
}

function codeOfAnswer({ name, transient }: ArrayAnswer, open: boolean): ErrorCode {
  if (open || name === "busy") return "busy";
  if (transient) return "unreachable";
  // Not documented: what an unknown token is called. All readings of it end here.
  if (/auth|token|credential|forbidden|permission|accessdenied/i.test(name)) return "auth";
  switch (name) {
    case "objectDoesNotExist":
      return "absent";
    case "objectExists":
      return "exists";
    case "insufficientResources":
      return "no-space";
    case "invalidParam":
      return "invalid";
    default:
      return "refused";
  }
}
