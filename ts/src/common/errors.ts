// SPDX-License-Identifier: AGPL-3.0-or-later

/**
 * The error codes that travel from an array's client to the task log. Decisions are made by code, never by
 * text. `exit` is the exit status of the command line, `meaning` is what the documentation says.
 */
export const errorTable = {
  internal: { exit: 1, meaning: "a defect of pve-blockio; the service log has the details" },
  invalid: { exit: 2, meaning: "the request or the data is malformed" },
  absent: { exit: 3, meaning: "the object is known not to exist" },
  exists: { exit: 4, meaning: "an object of that name exists already" },
  busy: { exit: 5, meaning: "the object is in use" },
  refused: { exit: 6, meaning: "the array or one of our guards says no" },
  unreachable: {
    exit: 7,
    meaning: "the array or the service did not answer; nothing is known about the object",
  },
  auth: { exit: 8, meaning: "the array rejects the credentials" },
  "no-space": { exit: 9, meaning: "the array has no room left" },
  timeout: { exit: 10, meaning: "the operation did not finish within its deadline" },
  unsupported: { exit: 11, meaning: "this storage cannot do that" },
} as const satisfies Record<string, { exit: number; meaning: string }>;

/** One of the codes of {@link errorTable}. */
export type ErrorCode = keyof typeof errorTable;

/** True when `value` is one of our codes. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(errorTable, value);
}

/** The only error that leaves a layer: a code and one line that names operation, object and next step. */
export class BlockioError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(oneLine(message), options);
    this.name = "BlockioError";
    this.code = code;
  }
}

/** Makes a {@link BlockioError}; reads better than `new` where an error is thrown. */
export function fail(code: ErrorCode, message: string, cause?: unknown): BlockioError {
  return new BlockioError(code, message, cause === undefined ? undefined : { cause });
}

/** The code of any thrown value, `internal` when it has none of ours. Works across bundle copies of the class. */
export function codeOf(error: unknown): ErrorCode {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  if (isErrorCode(code)) return code;
  if (typeof code === "string" && Object.hasOwn(errnoCodes, code)) return errnoCodes[code] as ErrorCode;
  if ((error as { name?: unknown } | null | undefined)?.name === "TimeoutError") return "timeout";
  return "internal";
}

/** True for an error that says nothing about the object: nobody answered, or not in time. */
export function isSilence(error: unknown): boolean {
  return ["unreachable", "timeout"].includes(codeOf(error));
}

/** What the kernel's error numbers mean for us. */
const errnoCodes: Record<string, ErrorCode> = {
  ENOENT: "absent",
  EEXIST: "exists",
  EBUSY: "busy",
  ETXTBSY: "busy",
  EACCES: "refused",
  EPERM: "refused",
  EROFS: "refused",
  ENOTEMPTY: "refused",
  ENOSPC: "no-space",
  EDQUOT: "no-space",
  ENAMETOOLONG: "invalid",
  EINVAL: "invalid",
  EISDIR: "invalid",
  ENOTDIR: "invalid",
  ELOOP: "invalid",
  EFBIG: "invalid",
  EOPNOTSUPP: "unsupported",
  ENOTSUP: "unsupported",
  ECONNREFUSED: "unreachable",
  ECONNRESET: "unreachable",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
  ENODEV: "unreachable",
  ENXIO: "unreachable",
  ESTALE: "unreachable",
  EIO: "unreachable",
  ETIMEDOUT: "timeout",
};

/** Plain words for the error numbers that admins meet most. */
const errnoTexts: Record<string, string> = {
  ENOENT: "no such file or directory",
  EEXIST: "file exists",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "no space left on the file system",
  EDQUOT: "disk quota exceeded",
  EIO: "input/output error",
  ESTALE: "stale file handle",
  ENOTEMPTY: "directory not empty",
  EBUSY: "device or resource busy",
};

/**
 * Turns anything thrown into a {@link BlockioError}, putting `what` (operation and object) in front.
 * The only place where a foreign error gets its code.
 */
export function wrap(error: unknown, what: string): BlockioError {
  const code = codeOf(error);
  const errno = (error as { code?: unknown } | null | undefined)?.code;
  const text =
    (typeof errno === "string" ? errnoTexts[errno] : undefined) ??
    (error instanceof Error ? error.message : String(error));
  return fail(code, text.startsWith(what) ? text : `${what}: ${text}`, error);
}

/** Runs `body`; what it throws gets `what` in front, unless it is one of our errors already. */
export async function during<T>(what: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw error instanceof BlockioError ? error : wrap(error, what);
  }
}

function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not reach a task log
  return text.replace(/[\s\u0000-\u001f\u007f]+/g, " ").trim();
}
