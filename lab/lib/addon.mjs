// SPDX-License-Identifier: AGPL-3.0-or-later
// Evaluates an expression with the addon's functions; promises are awaited.
//
// usage: node addon.mjs EXPRESSION [ARGUMENT...]      e.g. addon.mjs 'native.blockSize(args[0])' /dev/sda
import { createRequire } from "node:module";
import { printResult } from "./print.mjs";

const native = createRequire(import.meta.url)("../../dist/blockio.node");

const [expression, ...args] = process.argv.slice(2);
const evaluate = new Function("native", "args", `return (async () => (${expression}))()`);

await printResult(() => evaluate(native, args));
