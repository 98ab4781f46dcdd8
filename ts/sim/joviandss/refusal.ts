// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Behaviour } from "./behaviour.js";

/** An error answer: becomes `{"data":null,"error":{"class","errno","message","url"}}`. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    /** Short name for the journal. */
    readonly kind: string,
    readonly errorClass: string | undefined,
    message: string,
    readonly errno?: number,
  ) {
    super(message);
    this.name = "Refusal";
  }
}

const resourceError = "zfslib.zfsapi.resources.ZfsResourceError";
const commandError = "zfslib.wrap.zfs.ZfsCmdError";
const notFound = "opene.exceptions.ItemNotFoundError";
const conflict = "opene.exceptions.ItemConflictError";

/** The catalogue of errors, in the encoding that the switches say. */
export const refuse = {
  noVolume: (pool: string, name: string, { errors, notFoundStatus }: Behaviour): Refusal =>
    errors === "legacy"
      ? new Refusal(
          500,
          "not-found",
          resourceError,
          `Zfs resource: ${pool}/${name} not found in this collection.`,
          1,
        )
      : new Refusal(notFoundStatus, "not-found", notFound, `Resource ${pool}/${name} not found.`),
  noSnapshot: (pool: string, volume: string, name: string, { errors, notFoundStatus }: Behaviour): Refusal =>
    errors === "legacy"
      ? new Refusal(
          500,
          "not-found",
          commandError,
          `cannot open '${pool}/${volume}@${name}': dataset does not exist`,
          0,
        )
      : new Refusal(notFoundStatus, "not-found", notFound, `Resource ${pool}/${volume}@${name} not found.`),
  noPool: (pool: string, { notFoundStatus }: Behaviour): Refusal =>
    new Refusal(notFoundStatus, "no-pool", notFound, `Pool ${pool} not found.`),
  noTarget: (iqn: string): Refusal => new Refusal(404, "not-found", notFound, `Target ${iqn} not exists.`),
  noLun: (volume: string, iqn: string): Refusal =>
    new Refusal(404, "not-found", notFound, `volume name ${volume} is not attached to target ${iqn}`),
  noUser: (user: string): Refusal => new Refusal(404, "not-found", notFound, `User ${user} not exists.`),
  noShare: (what: "Share" | "Clone", name: string): Refusal =>
    new Refusal(404, "not-found", "werkzeug.exceptions.NotFound", `${what} ${name} not exists.`),
  volumeExists: (name: string): Refusal =>
    new Refusal(500, "exists", resourceError, `Resource ${name} already exists.`, 5),
  snapshotExists: (pool: string, volume: string, name: string): Refusal =>
    new Refusal(500, "exists", resourceError, `Resource ${pool}/${volume}@${name} already exists.`, 5),
  datasetExists: (pool: string, name: string): Refusal =>
    new Refusal(
      500,
      "exists",
      commandError,
      `cannot create '${pool}/${name}': dataset already exists\n`,
      100,
    ),
  targetExists: (iqn: string, pool: string, { targetConflict }: Behaviour): Refusal =>
    new Refusal(
      409,
      "exists",
      `opene.san.target.${targetConflict}.TargetNameConflictError`,
      `Target with name ${iqn} is already present on ${pool}.`,
    ),
  attached: (pool: string, volume: string): Refusal =>
    new Refusal(409, "attached", conflict, `Volume /dev/${pool}/${volume} is already used.`),
  lunTaken: (lun: number, iqn: string): Refusal =>
    new Refusal(409, "lun-taken", conflict, `LUN ${lun} is already used in ${iqn}.`),
  shareExists: (name: string): Refusal =>
    new Refusal(409, "exists", undefined, `Share ${name} already exists.`, 1),
  hasSnapshots: (pool: string, volume: string, snapshots: readonly string[]): Refusal =>
    new Refusal(
      500,
      "has-snapshots",
      commandError,
      `cannot destroy '${pool}/${volume}': volume has children\nuse '-r' to destroy the following datasets:\n${snapshots
        .map((name) => `${pool}/${volume}@${name}`)
        .join("\n")}\n`,
      1000,
    ),
  hasClones: ({ hasClones }: Behaviour): Refusal =>
    new Refusal(
      500,
      "has-clones",
      `opene.storage.${hasClones}.ZfsOeError`,
      "In order to delete a zvol, you must delete all of its clones first.",
    ),
  snapshotHasClones: (pool: string, volume: string, name: string, clones: readonly string[]): Refusal =>
    new Refusal(
      500,
      "snapshot-has-clones",
      commandError,
      `cannot destroy '${pool}/${volume}@${name}': snapshot has dependent clones\nuse '-R' to destroy the following datasets:\n${clones
        .map((clone) => `${pool}/${clone}`)
        .join("\n")}\n`,
      1000,
    ),
  rollbackClones: (pool: string, volume: string, name: string): Refusal =>
    new Refusal(
      500,
      "rollback-clones",
      commandError,
      `cannot rollback to '${pool}/${volume}@${name}': clones of previous snapshots exist\n`,
      1000,
    ),
  noSpace: (size: number, pool: string, free: number): Refusal =>
    new Refusal(
      500,
      "no-space",
      undefined,
      `New zvol size(${size}) exceeds available space on pool ${pool}(${free}).`,
    ),
  busy: (pool: string, volume: string): Refusal =>
    new Refusal(500, "busy", commandError, `cannot destroy '${pool}/${volume}': dataset is busy`, 1000),
  configClash: (): Refusal =>
    new Refusal(500, "config-clash", "opene.cfgparser.CfgParserError", "Error while parsing config file", 13),
  scst: (): Refusal =>
    new Refusal(500, "scst", "opene.tools.scstadmin.ScstAdminError", "Setting attribute failed", 1),
  os: (): Refusal =>
    new Refusal(500, "os", "exceptions.OSError", "[Errno 16] Device or resource busy: '/dev/zvol'", 16),
  invalid: (message: string): Refusal =>
    new Refusal(400, "invalid", "jsonschema.exceptions.ValidationError", message),
  tooNew: (member: string): Refusal =>
    new Refusal(
      400,
      "invalid",
      undefined,
      `Additional properties are not allowed ('${member}' was unexpected)`,
    ),
  unknownUrl: (): Refusal => new Refusal(404, "unknown", "werkzeug.exceptions.NotFound", "404: Not Found"),
};

/** Any thrown value as an error answer. */
export function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  return new Refusal(
    500,
    "internal",
    "exceptions.Exception",
    error instanceof Error ? error.message : String(error),
  );
}
