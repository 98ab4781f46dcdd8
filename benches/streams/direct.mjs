// SPDX-License-Identifier: AGPL-3.0-or-later
// `export --device PATH` and `import --device PATH` with nothing but the addon: what of a stream's time is the
// command's own start.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const native = createRequire(import.meta.url)(join(here, "../../dist/blockio.node"));
const [verb, , path] = process.argv.slice(2);

const handle =
  verb === "export"
    ? native.exportRaw({ source: path, sinkFd: 1 })
    : native.importRaw({ sourceFd: 0, target: { kind: "create", path }, zeroed: true });
await handle.done;
