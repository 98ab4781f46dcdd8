// SPDX-License-Identifier: AGPL-3.0-or-later
// How results are printed for the shell: strings as they are, all else in JSON; errors as `CODE: message`.

export async function printResult(work) {
  try {
    const value = await work();
    const text = typeof value === "string" ? value : JSON.stringify(value ?? null, bigintsAsStrings);
    process.stdout.write(`${text}\n`);
  } catch (error) {
    process.stderr.write(`${error.code ?? error.name}: ${error.message}\n`);
    process.exitCode = 1;
  }
}

const bigintsAsStrings = (_key, value) => (typeof value === "bigint" ? value.toString() : value);
