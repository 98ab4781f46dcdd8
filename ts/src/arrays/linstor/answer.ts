// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { BlockioError, type ErrorCode } from "../../common/errors.js";
import { codes, parseReturnCode, type ReturnCode } from "./return-code.js";

/** One line of a reply to a change, or of an error. */
export interface Entry extends ReturnCode {
  readonly message: string;
  readonly cause: string;
  readonly correction: string;
}

const entrySchema = z
  .object({
    ret_code: z.union([z.string().regex(/^-?[0-9]{1,20}$/), z.number().int().transform(String)]),
    message: z.string().catch(""),
    cause: z.string().catch(""),
    correction: z.string().catch(""),
  })
  .transform(({ ret_code, ...texts }): Entry => ({ ...parseReturnCode(ret_code), ...texts }));

/** The entries of a reply; undefined for what is none. */
export function entriesOf(body: unknown): Entry[] | undefined {
  const result = z.array(entrySchema).safeParse(body);
  return result.success ? result.data : undefined;
}

/** What an error of LINSTOR means. */
export type Condition =
  | "absent"
  | "node-absent"
  | "pool-absent"
  | "group-absent"
  | "exists"
  | "has-snapshots"
  | "in-use"
  | "busy"
  | "not-synced"
  | "no-space"
  | "no-place"
  | "exact-size"
  | "not-connected"
  | "newer-snapshots"
  | "unsupported"
  | "invalid"
  | "auth"
  | "unknown";

/** LINSTOR said no. */
export class LinstorError extends BlockioError {
  constructor(
    code: ErrorCode,
    message: string,
    readonly condition: Condition,
    /** LINSTOR's own number for it; 0 where it gave none. */
    readonly number: number,
    /** An earlier attempt of the same request got no reply, so the answer may be a consequence of it. */
    readonly afterLost: boolean,
  ) {
    super(code, message);
  }
}

/** True for an answer of LINSTOR that means this. */
export function means(error: unknown, ...conditions: readonly Condition[]): error is LinstorError {
  return error instanceof LinstorError && conditions.includes(error.condition);
}

const byCondition: Readonly<Record<Condition, { readonly code: ErrorCode; readonly next: string }>> = {
  absent: { code: "absent", next: "check the name with pvesm list" },
  "node-absent": { code: "refused", next: "check the names with linstor node list, and searchdomain" },
  "pool-absent": { code: "refused", next: "look at linstor storage-pool list" },
  "group-absent": { code: "absent", next: "check resourcegroup with linstor resource-group list" },
  exists: { code: "exists", next: "choose another name" },
  "has-snapshots": { code: "refused", next: "delete its snapshots first" },
  "in-use": { code: "busy", next: "stop what uses it, then repeat" },
  busy: { code: "busy", next: "repeat it when that is done" },
  "not-synced": { code: "busy", next: "wait until all replicas are UpToDate, then repeat" },
  "no-space": { code: "no-space", next: "free or add space in the storage pools" },
  "no-place": { code: "no-space", next: "look at linstor storage-pool list and linstor node list" },
  "exact-size": { code: "refused", next: "unset DrbdOptions/ExactSize" },
  "not-connected": { code: "unreachable", next: "look at linstor node list" },
  "newer-snapshots": { code: "refused", next: "delete the newer snapshots first" },
  unsupported: { code: "unsupported", next: "use storage pools that can do it, such as LVM_THIN or ZFS" },
  invalid: { code: "invalid", next: "correct what the text names" },
  auth: { code: "auth", next: "check apitoken, apiuser and apipassword of the storage" },
  unknown: { code: "refused", next: "look at linstor error-reports list" },
};

function conditionOf(status: number, entry: Entry | undefined): Condition {
  if (status === 401 || status === 403 || entry?.code === 412) return "auth";
  if (!entry) return "unknown";
  // The one code whose two meanings only the text tells apart.
  if (entry.code === codes.volumeSize)
    return /not enough (?:free )?space/i.test(`${entry.message} ${entry.cause}`) ? "no-space" : "invalid";
  switch (entry.code) {
    case codes.definitionAbsent:
    case codes.resourceAbsent:
    case codes.volumeAbsent:
    case codes.snapshotDefinitionAbsent:
    case codes.snapshotAbsent:
      return "absent";
    case codes.nodeAbsent:
      return "node-absent";
    case codes.poolAbsent:
      return "pool-absent";
    case codes.groupAbsent:
      return "group-absent";
    case codes.snapshotDefinitionExists:
    case codes.snapshotExists:
      return entry.operation === "delete" ? "has-snapshots" : "exists";
    case codes.definitionExists:
    case codes.resourceExists:
    case codes.volumeExists:
    case codes.groupExists:
      return "exists";
    case codes.inUse:
      return "in-use";
    case codes.busy:
    case codes.shipping:
    case codes.rollingBack:
      return "busy";
    case codes.notUpToDate:
      return "not-synced";
    case codes.noSpace:
      return "no-space";
    case codes.tooFewReplicas:
    case codes.tooFewNodes:
      return "no-place";
    case codes.property:
      return "exact-size";
    case codes.notConnected:
      return "not-connected";
    case codes.dependentSnapshot:
      return "newer-snapshots";
    case codes.snapshotsUnsupported:
    case codes.provider:
    case codes.layerUnsupported:
    case codes.providerUnsupported:
      return "unsupported";
    default:
      return status === 400 || (entry.code >= 200 && entry.code < 300) ? "invalid" : "unknown";
  }
}

/** The typed error of an answer. `what` names operation and object; the first error entry decides. */
export function arrayError(
  what: string,
  status: number,
  entries: readonly Entry[],
  afterLost = false,
): LinstorError {
  const entry = entries.find(({ severity }) => severity === "error");
  const condition = conditionOf(status, entry);
  const { code, next } = byCondition[condition];
  const said = sentence(entry?.message) || `HTTP status ${status}`;
  const cause = entry?.cause ? ` (${sentence(entry.cause)})` : "";
  const advice = sentence(entry?.correction) || next;
  const text = `${what}: LINSTOR says: ${said}${cause}; ${advice}`;
  return new LinstorError(code, text, condition, entry?.code ?? 0, afterLost);
}

function sentence(text: string | undefined): string {
  return (text ?? "").trim().replace(/\.$/, "");
}
