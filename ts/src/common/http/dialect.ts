// SPDX-License-Identifier: AGPL-3.0-or-later
import type { BlockioError } from "../errors.js";
import type { Call } from "./call.js";
import type { Reply, WireRequest } from "./exchange.js";
import type { Judgement } from "./outcome.js";

/** What an error of the array means to its request, when that is not over with it. */
export interface Passing {
  /** Another host may do better. */
  readonly elsewhere?: boolean;
  /** The change may have been made nevertheless. */
  readonly unseen?: boolean;
  /** The request may be sent again: whatever it is, or only where that does no harm. */
  readonly repeat: "always" | "harmless";
}

/** How a kind of array is spoken to: what differs between them. `Said` is what its errors say. */
export interface Dialect<C extends Call, Said> {
  /** The array, as texts name it. */
  readonly array: string;
  /** Where one of its hosts is, as texts name that. */
  at(origin: string): string;
  /** What to look at when no host answers. */
  readonly whenSilent: string;
  /** A request as it goes over the wire. */
  request(call: C): Pick<WireRequest, "path" | "headers">;
  /** What a reply says; never throws. */
  judge(call: C, reply: Reply): Judgement<Said>;
  /**
   * Is told of each reply and the path that was asked for; true when the request is to be sent again at once, as it will
   * look different.
   */
  learn?(judgement: Judgement<Said>, path: string): boolean;
  /** The typed error of what the array said. `afterLost`: an earlier attempt got no reply. */
  error(what: string, said: Said, afterLost: boolean): BlockioError;
  /** Undefined for an error that stays. */
  passing?(said: Said): Passing | undefined;
  /** The error for a certificate that is not trusted. */
  untrusted(what: string, at: string, reason: string): BlockioError;
  /** Takes secrets out of a text. */
  scrub(text: string): string;
}
