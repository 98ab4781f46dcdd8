// SPDX-License-Identifier: AGPL-3.0-or-later
import {
  type CodeName,
  codeName,
  isError,
  type ObjectKind,
  type Operation,
  plainCode,
  returnCode,
  statusOf,
} from "./codes.js";

/** What an entry says besides its message. */
export interface More {
  readonly cause?: string;
  readonly details?: string;
  readonly correction?: string;
  /** Such as `{ RscDfn: "vm-100-disk-1" }`. */
  readonly refs?: Readonly<Record<string, string>>;
  readonly reports?: readonly string[];
}

/** One entry of a reply. */
export interface Entry extends More {
  readonly code: bigint;
  readonly message: string;
}

/** A refusal: the entry that ends a reply. What was said before stays in front of it. */
export class Refusal extends Error {
  readonly code: CodeName | bigint;
  readonly more: More;
  /** Instead of the object of the request. */
  readonly object: ObjectKind | undefined;

  constructor(code: CodeName | bigint, message: string, more: More = {}, object?: ObjectKind) {
    super(message);
    this.name = "Refusal";
    this.code = code;
    this.more = more;
    this.object = object;
  }

  entry(operation: Operation, object: ObjectKind): Entry {
    const code =
      typeof this.code === "bigint" ? this.code : returnCode(this.code, operation, this.object ?? object);
    return { code, message: this.message, ...this.more };
  }
}

/** Makes a {@link Refusal}; reads better than `new` where it is thrown. */
export function refuse(
  code: CodeName | bigint,
  message: string,
  more: More = {},
  object?: ObjectKind,
): Refusal {
  return new Refusal(code, message, more, object);
}

/** The entries of one reply, in the order in which they were said. */
export class Replies {
  readonly entries: Entry[] = [];
  readonly #operation: Operation;
  readonly #object: ObjectKind;

  constructor(operation: Operation, object: ObjectKind) {
    this.#operation = operation;
    this.#object = object;
  }

  created(object: ObjectKind, message: string, more: More = {}): void {
    this.#add(returnCode("created", "create", object), message, more);
  }

  modified(object: ObjectKind, message: string, more: More = {}): void {
    this.#add(returnCode("modified", "modify", object), message, more);
  }

  deleted(object: ObjectKind, message: string, more: More = {}): void {
    this.#add(returnCode("deleted", "delete", object), message, more);
  }

  /** Success without a code. */
  success(message: string): void {
    this.#add(plainCode("success", "none", "none"), message, {});
  }

  /** Information without a code. */
  info(object: ObjectKind, message: string): void {
    this.#add(plainCode("info", "none", object), message, {});
  }

  /** A warning or information: composed with the request's operation and object. */
  say(code: CodeName, message: string, more: More = {}, object = this.#object): void {
    this.#add(returnCode(code, this.#operation, object), message, more);
  }

  /** Information that the service gives without operation and object. */
  bare(code: CodeName, message: string): void {
    this.#add(returnCode(code, "none", "none"), message, {});
  }

  refused(refusal: Refusal): void {
    this.entries.push(refusal.entry(this.#operation, this.#object));
  }

  /** What the first error says, or the given status. */
  status(success: number): number {
    const first = this.entries.find(({ code }) => isError(code));
    return first ? statusOf(first.code) : success;
  }

  /** `ok`, or the name of the first error. */
  get outcome(): string {
    const first = this.entries.find(({ code }) => isError(code));
    return first ? codeName(first.code) : "ok";
  }

  #add(code: bigint, message: string, more: More): void {
    this.entries.push({ code, message, ...more });
  }
}

/** Entries as they are sent; empty members are left out. */
export function shownEntries(entries: readonly Entry[], at: string): unknown[] {
  return entries.map(({ code, message, cause, details, correction, refs, reports }) => ({
    ret_code: code,
    message,
    cause,
    details,
    correction,
    error_report_ids: reports,
    obj_refs: refs,
    created_at: at,
  }));
}

/** Any thrown value as a refusal; a defect of the simulator looks like one of the service. */
export function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ENOSPC" || code === "EDQUOT")
    return refuse("notEnoughFreeSpace", "the data directory is full");
  const text = error instanceof Error ? error.message : String(error);
  return refuse("implementationError", text, { reports: ["00000000-00000-000000"] }, "none");
}
