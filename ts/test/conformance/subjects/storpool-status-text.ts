// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Subject } from "../subject.js";
import { storpoolSubject } from "./storpool.js";

/** Errors come as an HTTP status and words: a proxy in between. What they are about has to be asked another way. */
export const subject: Subject = {
  ...storpoolSubject("storpool with errors as text, without outages", {
    behaviour: { errorTransport: "status-text" },
  }),
  // Asked with the default errors: no answer of the service is in them, and they last longest of all.
  outages: [],
};
