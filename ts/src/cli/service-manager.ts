// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Logger } from "../common/log.js";
import { native } from "../common/native.js";

/** How often within its limit systemd hears that the main loop turns. */
const beatsPerLimit = 4;

/**
 * What systemd is told of the service, as in sd_notify(3): that it serves, that its main loop turns, that it stops.
 * Says nothing where nobody listens, so that the service runs by hand as well.
 */
export class ServiceManager {
  readonly #listens = process.env["NOTIFY_SOCKET"] !== undefined;
  #beat: NodeJS.Timeout | undefined;

  constructor(private readonly log: Logger) {}

  /** Connections are accepted from now on. Without a beat within the unit's `WatchdogSec` systemd starts it anew. */
  ready(status: string): void {
    if (!this.#listens) return;
    // The addon says what is wrong with itself, so that a damaged installation shows at the start.
    this.#tell(`READY=1\nSTATUS=${status}`);
    const limit = native().watchdogLimitMs();
    if (limit === null) return;
    // A timer of the main loop: it stops when that does.
    this.#beat = setInterval(() => this.#tell("WATCHDOG=1"), limit / beatsPerLimit);
    this.#beat.unref();
  }

  /** The service ends by itself; the beats go on until it has. */
  stopping(): void {
    if (this.#listens) this.#tell("STOPPING=1\nSTATUS=finishing the calls under way");
  }

  #tell(state: string): void {
    try {
      native().notifyServiceManager(state);
    } catch (error) {
      this.log.error("systemd was not told the state of the service", { error });
    }
  }
}
