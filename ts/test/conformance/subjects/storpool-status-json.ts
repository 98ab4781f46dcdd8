// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Subject } from "../subject.js";
import { storpoolSubject } from "./storpool.js";

/** Errors come as JSON with an HTTP status of their own. */
export const subject: Subject = {
  ...storpoolSubject("storpool with errors by status, without outages", {
    behaviour: { errorTransport: "status-json" },
  }),
  // Asked with the default errors: no answer of the service is in them, and they last longest of all.
  outages: [],
};
