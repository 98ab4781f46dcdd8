// SPDX-License-Identifier: AGPL-3.0-or-later

/** Which of several addresses is asked: the same one as long as it answers, then the next. */
export class Rotation {
  #at = 0;

  constructor(readonly addresses: readonly string[]) {}

  /** The address for the next request. */
  get current(): string {
    return this.addresses[this.#at] ?? "";
  }

  /** The one behind another: the same when there is only one. */
  after(address: string): string {
    return this.addresses[(this.addresses.indexOf(address) + 1) % this.addresses.length] ?? address;
  }

  /** It has answered: all ask it from now on. */
  worked(address: string): void {
    this.#at = Math.max(0, this.addresses.indexOf(address));
  }

  /** It has not answered. Whoever finds that out later than others moves nobody once more. */
  failed(address: string): void {
    if (address === this.current) this.#at = (this.#at + 1) % this.addresses.length;
  }
}
