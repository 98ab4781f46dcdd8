// SPDX-License-Identifier: AGPL-3.0-or-later
import { inspect } from "node:util";

/** A text that shows as `***` wherever it is printed, inspected or put into JSON. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The text itself; only for the place that sends it. */
  reveal(): string {
    return this.#value;
  }

  /** `text` with each occurrence of the secret replaced: answers of others may quote it. */
  scrub(text: string): string {
    return this.#value === "" ? text : text.replaceAll(this.#value, "***");
  }

  toString(): string {
    return "***";
  }

  toJSON(): string {
    return "***";
  }

  [inspect.custom](): string {
    return "***";
  }
}
