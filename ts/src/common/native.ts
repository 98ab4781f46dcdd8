// SPDX-License-Identifier: AGPL-3.0-or-later
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type * as Native from "../../../dist/blockio.js";
import { fail } from "./errors.js";

let loaded: typeof Native | undefined;

/**
 * The Rust addon, loaded at first use. It lies beside the bundle when installed, in `dist/` of a checkout
 * otherwise; `PVE_BLOCKIO_ADDON` overrides both.
 */
export function native(): typeof Native {
  if (loaded) return loaded;
  const program = process.argv[1] ?? "";
  // The working directory may be gone, and is only asked for where the others have nothing.
  const candidates = [
    () => process.env["PVE_BLOCKIO_ADDON"],
    () => join(program, "..", "blockio.node"),
    () => join(process.cwd(), "dist", "blockio.node"),
  ];
  const path = candidates.find((candidate) => existsSync(candidate() ?? ""))?.();
  if (path === undefined) {
    throw fail(
      "internal",
      "load the native addon: blockio.node is missing beside the program; build or reinstall",
    );
  }
  loaded = createRequire(path)(path) as typeof Native;
  return loaded;
}
