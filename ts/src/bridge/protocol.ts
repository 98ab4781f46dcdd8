// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { ErrorCode } from "../common/errors.js";

/** The longest deadline that a client may ask for, in milliseconds: a day. */
const maxDeadlineMs = 24 * 3600 * 1000;

export const requestSchema = z.object({
  id: z.number().int(),
  method: z.string().max(64),
  storeid: z
    .string()
    .regex(/^[a-zA-Z][a-zA-Z0-9._-]*[a-zA-Z0-9]$/)
    .optional(),
  scfg: z.record(z.string(), z.unknown()).optional(),
  args: z.record(z.string(), z.unknown()).default({}),
  /** The same token on each attempt of one request makes it safe to send again after a lost connection. */
  request: z
    .string()
    .regex(/^[A-Za-z0-9-]{8,64}$/)
    .optional(),
  deadlineMs: z.number().positive().max(maxDeadlineMs).optional(),
});

export type Request = z.infer<typeof requestSchema>;

export type Reply =
  | { id: number; result: unknown }
  | { id: number; error: { code: ErrorCode; message: string } }
  | { id: number; working: true };
