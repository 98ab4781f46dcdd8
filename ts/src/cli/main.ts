// SPDX-License-Identifier: AGPL-3.0-or-later
import { main } from "./cli.js";

// File operations of many guests at once should not queue for libuv's four threads.
process.env["UV_THREADPOOL_SIZE"] ??= "16";

// Streams and the service have closed what they had; a forgotten handle must not keep a task alive.
void main(process.argv.slice(2)).then((status) => process.exit(status));
