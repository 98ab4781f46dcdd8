// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";

/** A size in bytes. Always a bigint: JavaScript's numbers are exact to 8 PiB only. */
export type Bytes = bigint;

/** Size on the wire: decimal string of bytes. */
export const wireSize = z
  .string()
  .regex(/^(?:0|[1-9][0-9]{0,18})$/, "a size is a decimal number of bytes")
  .transform((text): Bytes => BigInt(text));

/** Size on the wire, outgoing. */
export const wireSizeOut = z.bigint().transform((size) => size.toString());
