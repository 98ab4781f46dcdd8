// SPDX-License-Identifier: AGPL-3.0-or-later
import { type BlockioError, fail } from "../../common/errors.js";
import { type Call, isQuery } from "../../common/http/call.js";
import type { Dialect } from "../../common/http/dialect.js";
import type { Reply } from "../../common/http/exchange.js";
import type { TransportLimits } from "../../common/http/limits.js";
import type { Judgement } from "../../common/http/outcome.js";
import { Transport } from "../../common/http/transport.js";
import type { Secret } from "../../common/secret.js";
import { arrayError, type Entry, entriesOf } from "./answer.js";
import { parseReply } from "./return-code.js";

/** Where LINSTOR's controllers are, and who asks. */
export interface Endpoint {
  /** Origins such as `https://10.0.0.1:3371`, in the order in which they are tried. */
  readonly controllers: readonly string[];
  /** Value of the `authorization` header. */
  readonly authorization?: Secret;
  /** TLS: certificates to trust, and those to show; in PEM. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: Secret;
}

/** An error of LINSTOR: the entries of its reply. */
export interface LinstorSaid {
  readonly status: number;
  readonly entries: readonly Entry[];
}

/** A controller that moves to another node needs half a minute; most callers have less time. */
const defaultLimits: TransportLimits = {
  connectMs: 3_000,
  queryMs: 30_000,
  // Changes are answered when the satellites are done with them.
  commandMs: 300_000,
  probeMs: 3_400,
  querySilenceMs: 5_000,
  probeSilenceMs: 1_000,
  pausesMs: [500, 1_000, 2_000, 4_000, ...Array<number>(12).fill(8_000)],
};

/** The view of all resources with their volumes is the largest reply; beyond this it is not one. */
const maxReplyBytes = 256 << 20;

/**
 * LINSTOR's REST API. One controller of a cluster is active and the others do not answer, so the one that has answered is
 * asked again.
 */
export function transportTo(
  endpoint: Endpoint,
  limits: Partial<TransportLimits> = {},
): Transport<Call, LinstorSaid> {
  const { controllers, authorization, ca, cert, key } = endpoint;
  return new Transport(
    new LinstorDialect(authorization),
    controllers,
    { ...defaultLimits, ...limits },
    {
      tls: {
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key: key.reveal() }),
      },
      changes: 16,
      maxReplyBytes,
    },
  );
}

class LinstorDialect implements Dialect<Call, LinstorSaid> {
  readonly array = "LINSTOR";
  readonly whenSilent = "check the network, and controller in the storage";

  constructor(private readonly authorization: Secret | undefined) {}

  at(origin: string): string {
    return `LINSTOR's controller at ${origin}`;
  }

  request({ path }: Call) {
    const { authorization } = this;
    return {
      path: `/v1/${path}`,
      headers: {
        "user-agent": "pve-blockio",
        ...(authorization ? { authorization: authorization.reveal() } : {}),
      },
    };
  }

  /** Changes are answered with a list of entries, which can begin with successes and end in an error. */
  judge(call: Call, { status, text }: Reply): Judgement<LinstorSaid> {
    const denied = status === 401 || status === 403;
    let body: unknown;
    try {
      body = parseReply(text);
    } catch {
      if (denied) return { kind: "error", said: { status, entries: [] } };
      return { kind: "garbled", reason: `HTTP status ${status} without JSON` };
    }
    const entries = entriesOf(body);
    const failed = entries?.some(({ severity }) => severity === "error") ?? false;
    if (entries && failed) return { kind: "error", said: { status, entries } };
    if (denied) return { kind: "error", said: { status, entries: [] } };
    if (status < 200 || status > 299) return { kind: "garbled", reason: `HTTP status ${status}` };
    if (isQuery(call)) return { kind: "data", data: body };
    // The reply to a clone has its entries inside.
    if (entries) return { kind: "data", data: entries };
    return typeof body === "object" && body !== null && !Array.isArray(body)
      ? { kind: "data", data: body }
      : { kind: "garbled", reason: "a reply without entries" };
  }

  error(what: string, { status, entries }: LinstorSaid, afterLost: boolean): BlockioError {
    const clean = entries.map((entry) => ({
      ...entry,
      message: this.scrub(entry.message),
      cause: this.scrub(entry.cause),
      correction: this.scrub(entry.correction),
    }));
    return arrayError(what, status, clean, afterLost);
  }

  untrusted(what: string, at: string, reason: string): BlockioError {
    return fail(
      "refused",
      `${what}: the certificate of ${at} is not trusted (${reason}); name its CA with pvesm set STOREID --apica`,
    );
  }

  scrub(text: string): string {
    const { authorization } = this;
    if (!authorization) return text;
    // Without the word in front of it, too.
    const [, value = ""] = authorization.reveal().split(" ");
    return authorization.scrub(value === "" ? text : text.replaceAll(value, "***"));
  }
}
