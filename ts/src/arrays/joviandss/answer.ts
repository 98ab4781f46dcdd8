// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { BlockioError, type ErrorCode } from "../../common/errors.js";
import { type Condition, findRule, type Subject } from "./catalogue.js";

/** Every member may be missing, and `errno` may be text. */
const errorSchema = z.object({
  class: z.string().catch(""),
  message: z.string().catch(""),
  errno: z.coerce.number().int().optional().catch(undefined),
});

/** An error that the array itself answered with. */
export interface ArrayAnswer extends z.infer<typeof errorSchema> {
  readonly status: number;
}

/** The error in a reply; undefined when there is none. */
export function errorIn(status: number, body: unknown): ArrayAnswer | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const { error } = body as { error?: unknown };
  if (error === undefined || error === null) return undefined;
  return { ...errorSchema.parse(typeof error === "object" ? error : { message: String(error) }), status };
}

/** The array said no. */
export class JovianError extends BlockioError {
  constructor(
    code: ErrorCode,
    message: string,
    /** What the array means, whatever its release calls it. */
    readonly condition: Condition,
    /** What it is about; undefined when it does not say. */
    readonly subject: Subject | undefined,
    /** An earlier attempt of the same request got no reply, so the answer may be a consequence of it. */
    readonly afterLost: boolean,
  ) {
    super(code, message);
  }

  /** True when it says that there is no such object. */
  isAbsent(subject?: Subject): boolean {
    return this.condition === "absent" && (subject === undefined || this.subject === subject);
  }
}

/** True for an answer of the array that means this. */
export function means(error: unknown, ...conditions: readonly Condition[]): error is JovianError {
  return error instanceof JovianError && conditions.includes(error.condition);
}

const codes: Readonly<Record<Condition, { readonly code: ErrorCode; readonly next: string }>> = {
  absent: { code: "absent", next: "check the name with pvesm list" },
  // Said of an object it may mean that another node has the pool: nothing is known about the object.
  "pool-missing": {
    code: "unreachable",
    next: "check pool_name, and whether control_addresses are VIPs of it",
  },
  unclear: { code: "unreachable", next: "look at the object on the array" },
  exists: { code: "exists", next: "choose another name" },
  "lun-taken": { code: "exists", next: "try again" },
  attached: { code: "busy", next: "look for its target on the array" },
  busy: { code: "busy", next: "stop what uses it, then repeat" },
  "has-clones": { code: "busy", next: "remove its clones first" },
  "has-snapshots": { code: "refused", next: "remove its snapshots first" },
  "no-space": { code: "no-space", next: "free or add space in the pool" },
  "config-clash": { code: "refused", next: "repeat it when no other target is being changed" },
  scst: { code: "refused", next: "look at the array's event log" },
  os: { code: "refused", next: "look at the array's event log" },
  invalid: { code: "invalid", next: "correct what the text names" },
  outdated: { code: "unsupported", next: "update the array" },
  auth: {
    code: "auth",
    next: "correct them with pvesm set STOREID --user_name NAME --user_password PASSWORD",
  },
  unknown: { code: "refused", next: "look at the array's event log" },
};

/** The typed error of an answer. `what` names operation and object. */
export function arrayError(what: string, answer: ArrayAnswer, afterLost = false): JovianError {
  const { condition, subject } = findRule(answer);
  const { code, next } = codes[condition];
  const said = answer.message || answer.class || `HTTP status ${answer.status}`;
  const kind = answer.class === "" || answer.message === "" ? "" : ` (${answer.class})`;
  return new JovianError(
    code,
    `${what}: JovianDSS says: ${said}${kind}; ${next}`,
    condition,
    subject,
    afterLost,
  );
}
