// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";

/** A controller, as the section names it. */
export interface Controller {
  /** As in a URL: IPv6 in brackets. */
  readonly host: string;
  /** Undefined: the usual one of the scheme. */
  readonly port: number | undefined;
  /** Undefined: as the rest of the section wants it. */
  readonly scheme: "http" | "https" | undefined;
}

const ports = { http: 3370, https: 3371 } as const;

/**
 * Takes a list of controllers apart: `HOST`, `HOST:PORT`, IPv6 bare or in brackets, or URLs without a path.
 *
 * @throws `invalid`
 */
export function parseControllers(list: string): Controller[] {
  const entries = list
    .split(/[\s,;]+/)
    .filter((entry) => entry !== "")
    .map(parseController);
  if (entries.length === 0) throw fail("invalid", "controller: name at least one LINSTOR controller");
  return entries;
}

function parseController(entry: string): Controller {
  const wrong = () =>
    fail("invalid", `controller: '${entry.slice(0, 100)}' is no host; give HOST, HOST:PORT or a URL`);
  const [, scheme, rest = ""] = /^(?:(https?|linstor(?:\+ssl)?):\/\/)?(.*)$/i.exec(entry) ?? [];
  // A bare IPv6 address has more than one colon.
  const bare = /^[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*$/i.test(rest) ? `[${rest}]` : rest;
  let url: URL;
  try {
    url = new URL(`http://${bare.replace(/\/$/, "")}`);
  } catch {
    throw wrong();
  }
  const extra = url.pathname !== "/" || url.search || url.hash || url.username || url.password;
  if (extra || url.hostname === "" || !/^(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)$/i.test(url.hostname))
    throw wrong();
  // A URL leaves out the port that is usual for its scheme.
  const port = /:([0-9]+)\/?$/.exec(bare.replace(/^\[[^\]]*\]/, ""))?.[1];
  const schemes: Record<string, "http" | "https"> = {
    http: "http",
    https: "https",
    linstor: "http",
    "linstor+ssl": "https",
  };
  return {
    host: url.hostname,
    port: port === undefined ? undefined : Number(port),
    scheme: scheme === undefined ? undefined : schemes[scheme.toLowerCase()],
  };
}

/** The origin of a controller; `tls` where it does not say itself. */
export function originOf({ host, port, scheme }: Controller, tls: boolean): string {
  const used = scheme ?? (tls ? "https" : "http");
  return `${used}://${host}:${port ?? ports[used]}`;
}

/** True for an origin that is only reached on this node. */
export function isOwnNode(origin: string): boolean {
  return /^https?:\/\/(?:localhost|127\.[0-9.]+|\[::1\])(?::|$)/.test(origin);
}
