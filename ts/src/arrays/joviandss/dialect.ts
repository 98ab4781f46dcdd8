// SPDX-License-Identifier: AGPL-3.0-or-later
import { type BlockioError, fail } from "../../common/errors.js";
import type { Dialect, Passing } from "../../common/http/dialect.js";
import type { Reply } from "../../common/http/exchange.js";
import type { TransportLimits } from "../../common/http/limits.js";
import type { Judgement } from "../../common/http/outcome.js";
import { Transport } from "../../common/http/transport.js";
import { Secret } from "../../common/secret.js";
import { type ArrayAnswer, arrayError, errorIn } from "./answer.js";
import { acceptableFor, defaultLimits, type Endpoint, type JovianCall } from "./call.js";
import { findRule } from "./catalogue.js";

/** The list of all volumes is read in pages; beyond this a reply is not one. */
const maxReplyBytes = 64 << 20;

/** The array's REST API over TLS. */
export function transportTo(
  endpoint: Endpoint,
  limits: Partial<TransportLimits> = {},
): Transport<JovianCall, ArrayAnswer> {
  const { addresses, port, verify, ca } = endpoint;
  const origins = addresses.map(
    (address) => `https://${address.includes(":") ? `[${address}]` : address}:${port}`,
  );
  return new Transport(
    new JovianDialect(endpoint),
    origins,
    { ...defaultLimits, ...limits },
    {
      tls: ca === undefined ? {} : { ca },
      verify,
      changes: 6,
      maxReplyBytes,
    },
  );
}

class JovianDialect implements Dialect<JovianCall, ArrayAnswer> {
  readonly array = "JovianDSS";
  readonly whenSilent = "check the network and control_addresses";
  readonly #password: Secret;
  readonly #credentials: Secret;
  /** Undefined until the array has answered. */
  #version: Endpoint["version"];

  constructor({ user, password, version }: Endpoint) {
    this.#password = password;
    this.#credentials = new Secret(Buffer.from(`${user}:${password.reveal()}`).toString("base64"));
    this.#version = version;
  }

  at(origin: string): string {
    return `JovianDSS at ${origin.replace("https://", "")}`;
  }

  request({ path }: JovianCall) {
    return {
      path: `/api/${this.#version ?? "v4"}/${path}`,
      headers: { authorization: `Basic ${this.#credentials.reveal()}` },
    };
  }

  /** An error decides before the HTTP status does. */
  judge(call: JovianCall, { status, text }: Reply): Judgement<ArrayAnswer> {
    const good = status >= 200 && status <= 299;
    // Changes are answered without any envelope.
    if (text.trim() === "" && good) return decided(null, call);
    if (status === 401 || status === 403)
      return { kind: "error", said: { status, class: "", message: "", errno: undefined } };
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch {
      return { kind: "garbled", reason: `HTTP status ${status} without JSON` };
    }
    const said = errorIn(status, body);
    if (said) return { kind: "error", said };
    if (!good) return { kind: "garbled", reason: `HTTP status ${status}` };
    if (typeof body !== "object" || body === null || !("data" in body))
      return { kind: "garbled", reason: "a reply without data" };
    return decided(body.data, call);
  }

  /** An array that does not know the first address it is asked for has only the API before. */
  learn(judgement: Judgement<ArrayAnswer>, path: string): boolean {
    const asked = path.startsWith("/api/v3/") ? "v3" : "v4";
    const unknown =
      judgement.kind === "error" &&
      judgement.said.status === 404 &&
      findRule(judgement.said).condition === "unknown";
    if (!unknown) this.#version ??= "v4";
    else if (asked === "v4") this.#version ??= "v3";
    return unknown && asked !== this.#version;
  }

  error(what: string, said: ArrayAnswer, afterLost: boolean): BlockioError {
    const clean = { ...said, class: this.scrub(said.class), message: this.scrub(said.message) };
    return arrayError(what, clean, afterLost);
  }

  passing(said: ArrayAnswer): Passing | undefined {
    switch (findRule(said).condition) {
      case "pool-missing":
        return { elsewhere: true, repeat: "always" };
      case "config-clash":
        return { unseen: true, repeat: "harmless" };
      case "scst":
        return { repeat: "harmless" };
      default:
        return undefined;
    }
  }

  untrusted(what: string, at: string, reason: string): BlockioError {
    return fail(
      "refused",
      `${what}: the certificate of ${at} is not trusted (${reason}); make this node trust it, ` +
        "or accept any with pvesm set STOREID --ssl_cert_verify 0",
    );
  }

  scrub(text: string): string {
    return this.#credentials.scrub(this.#password.scrub(text));
  }
}

/** Under load the array answers queries with null, or with another shape. */
function decided(data: unknown, call: JovianCall): Judgement<ArrayAnswer> {
  return acceptableFor(call)(data)
    ? { kind: "data", data }
    : { kind: "garbled", reason: "a reply with other data" };
}
