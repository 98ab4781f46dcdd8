// SPDX-License-Identifier: AGPL-3.0-or-later

/** Errors the service reports. Names beyond the published ones are our guess and marked so. */
export const refusals = {
  objectDoesNotExist: 404,
  busy: 409,
  invalidParam: 400,
  insufficientResources: 507,
  /** Inferred name: the header is missing or wrong. */
  accessDenied: 401,
  /** Inferred name: no such request, or the other verb. */
  unknownQuery: 404,
  /** Inferred name: a name is taken. */
  objectExists: 409,
  /** Inferred name: a client did not take the new configuration in time. */
  timeout: 504,
  /** Inferred name: what transient errors are called. */
  unavailable: 503,
  /** A defect of the simulator, or its disk is full. */
  internal: 500,
} as const satisfies Record<string, number>;

/** Name of an error in the answer's `error.name`. */
export type RefusalName = keyof typeof refusals;

/** An error answer: becomes `{"error":{"name","descr","transient"}}`. */
export class Refusal extends Error {
  readonly refusal: string;
  readonly transient: boolean;

  constructor(refusal: string, descr: string, transient = false) {
    super(descr);
    this.name = "Refusal";
    this.refusal = refusal;
    this.transient = transient;
  }

  /** HTTP status where the error transport uses one; never documented by the vendor. */
  get status(): number {
    return Object.hasOwn(refusals, this.refusal) ? refusals[this.refusal as RefusalName] : 500;
  }
}

/** Makes a {@link Refusal}; reads better than `new` where it is thrown. */
export function refuse(refusal: RefusalName, descr: string): Refusal {
  return new Refusal(refusal, descr);
}

/** Any thrown value as an error answer. */
export function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ENOSPC" || code === "EDQUOT")
    return refuse("insufficientResources", "the data directory is full");
  return refuse("internal", error instanceof Error ? error.message : String(error));
}
