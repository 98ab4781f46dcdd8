// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { fail } from "../common/errors.js";
import { protocolVersion } from "./limits.js";
import type { Metrics } from "./metrics.js";
import type { Request } from "./protocol.js";

/** What calls that are about no storage are answered from. */
export interface AboutService {
  readonly version: string;
  readonly metrics: Metrics;
}

const streamReport = z.object({
  direction: z.enum(["export", "import"]),
  ended: z.enum(["done", "failed"]),
  bytes: z
    .string()
    .regex(/^[0-9]{1,19}$/)
    .transform(Number),
  seconds: z.number().nonnegative(),
});

/** The methods that are about the service itself. They are answered at once, and not counted. */
export const serviceMethods: Readonly<Record<string, (service: AboutService, request: Request) => unknown>> =
  {
    ping: ({ version }) => ({ version, protocol: protocolVersion }),
    metrics: ({ metrics }) => ({ text: metrics.text() }),
    stream_ended: ({ metrics }, { storeid, args }) => {
      const report = streamReport.safeParse(args);
      if (!report.success)
        throw fail(
          "invalid",
          "stream_ended: its arguments are malformed; use the stream program of this version",
        );
      metrics.streamEnded(storeid, report.data);
      return null;
    },
  };
