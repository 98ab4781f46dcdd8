// SPDX-License-Identifier: AGPL-3.0-or-later
import { main } from "./cli.js";

// Node's own file operations run on libuv's threads, four by default. One array may keep 16 of them waiting (see
// `plugin/storage.ts`); with these, seven dead file servers leave the eighth storage as quick as ever.
process.env["UV_THREADPOOL_SIZE"] ??= "128";

// Streams and the service have closed what they had; a forgotten handle must not keep a task alive.
void main(process.argv.slice(2)).then((status) => process.exit(status));
