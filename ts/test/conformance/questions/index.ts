// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Topic } from "../question.js";
import { activation } from "./activation.js";
import { allocation } from "./allocation.js";
import { bases } from "./bases.js";
import { clones } from "./clones.js";
import { concurrency } from "./concurrency.js";
import { deadlines } from "./deadlines.js";
import { directories } from "./directories.js";
import { errors } from "./errors.js";
import { exports } from "./exports.js";
import { idempotence } from "./idempotence.js";
import { imports } from "./imports.js";
import { leftovers } from "./leftovers.js";
import { listing } from "./listing.js";
import { names } from "./names.js";
import { rename } from "./rename.js";
import { resize } from "./resize.js";
import { rollback } from "./rollback.js";
import { sizes } from "./sizes.js";
import { snapshots } from "./snapshots.js";
import { space } from "./space.js";
import { storage } from "./storage.js";

/** All that a driver is asked. */
export const topics: readonly Topic[] = [
  storage,
  names,
  allocation,
  sizes,
  listing,
  snapshots,
  rollback,
  bases,
  clones,
  rename,
  resize,
  activation,
  exports,
  imports,
  directories,
  errors,
  idempotence,
  leftovers,
  deadlines,
  concurrency,
  space,
];
