// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { refuse } from "./refusal.js";

/** Published limits: object names, tag names and tag values stay below 200 characters. */
const longest = 199;

const address = z.string().min(1);
const name = z
  .string()
  .max(longest)
  .regex(/^[A-Za-z0-9_.:@-]*$/);
const size = z.number().int().positive().multipleOf(512);
const clientId = z.number().int().min(1).max(4095);
const limit = z.union([z.number().int().min(0), z.literal("-")]);

const tags = z
  .record(
    z
      .string()
      .max(longest)
      .regex(/^[A-Za-z0-9_.:-]+$/),
    z
      .string()
      .max(longest)
      .regex(/^[A-Za-z0-9_.:-]*$/),
  )
  .default({});

const placement = {
  template: z.string().optional(),
  replication: limit.optional(),
  placeAll: z.string().optional(),
  placeTail: z.string().optional(),
  placeHead: z.string().optional(),
  bw: limit.optional(),
  iops: limit.optional(),
  reuseServer: z.boolean().optional(),
};

/** Unknown members are refused: it finds misspelled ones. Whether the real service does is not known. */
export const createArguments = z.strictObject({
  ...placement,
  name: name.default(""),
  size: size.optional(),
  parent: address.optional(),
  baseOn: address.optional(),
  tags,
});

export const volumeUpdateArguments = z.strictObject({
  ...placement,
  rename: name.min(1).optional(),
  size: size.optional(),
  sizeAdd: size.optional(),
  shrinkOk: z.boolean().default(false),
  tags,
});

export const snapshotUpdateArguments = z.strictObject({
  ...placement,
  rename: name.min(1).optional(),
  bind: z.boolean().optional(),
  targetDeleteDate: z.number().int().min(0).optional(),
  deleteAfter: z.number().int().min(0).optional(),
  tags,
});

export const snapshotArguments = z.strictObject({
  name: name.default(""),
  bind: z.boolean().default(false),
  targetDeleteDate: z.number().int().min(0).optional(),
  deleteAfter: z.number().int().min(0).optional(),
  tags,
});

export const groupSnapshotArguments = z.strictObject({
  volumes: z.array(z.strictObject({ volume: address, name: name.default(""), tags })).min(1),
  tags,
});

export const revertArguments = z.strictObject({
  toSnapshot: address,
  revertSize: z.boolean().default(false),
});

export const rebaseArguments = z.strictObject({ parentName: address.optional() });

export const deleteArguments = z.strictObject({
  onAttached: z.enum(["fail", "detach", "detachForce"]).default("fail"),
});

export const noArguments = z.strictObject({});

const reassignEntry = z.strictObject({
  volume: address.optional(),
  snapshot: address.optional(),
  rw: z.array(clientId).default([]),
  ro: z.array(clientId).default([]),
  detach: z.union([z.array(clientId), z.literal("all")]).default([]),
  force: z.boolean().default(false),
});

/** Both published forms: a bare array, or an object with `attachTimeout` in seconds. */
export const reassignArguments = z.union([
  z.array(reassignEntry).transform((reassign) => ({ reassign, attachTimeout: undefined })),
  z.strictObject({ reassign: z.array(reassignEntry), attachTimeout: z.number().min(0).optional() }),
]);

/** One entry of `VolumesReassign`. */
export type ReassignEntry = z.output<typeof reassignEntry>;

/** Checks the arguments of a command; `invalidParam` names the first that is wrong. */
export function argumentsOf<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw refuse("invalidParam", `${issue?.path.join(".") || "arguments"}: ${issue?.message ?? "wrong"}`);
}
