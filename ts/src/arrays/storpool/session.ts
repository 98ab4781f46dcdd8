// SPDX-License-Identifier: AGPL-3.0-or-later
import { join } from "node:path";
import type { Context } from "../../common/context.js";
import { codeOf } from "../../common/errors.js";
import type { DriverEnvironment } from "../contract.js";
import { Cluster } from "../guest.js";
import { StorpoolClient } from "./client.js";
import { loadConfig, type StorpoolConfig } from "./config.js";
import type { StorpoolSection } from "./schema.js";
import { clusterSlug, type Owner } from "./tags.js";
import { Transport } from "./transport.js";

/** How long is waited before something is tried or looked at again, in milliseconds. */
export interface Pace {
  /** Between attempts of a request. */
  readonly pausesMs: readonly number[];
  /** Before each look for what an unanswered creation has made; the usual ones when absent. */
  readonly looksMs?: readonly number[];
  /** How often what is open is tried to be detached, and the time between; the usual ones when absent. */
  readonly closing?: { readonly times: number; readonly pauseMs: number };
}

/** Three seconds in all, so that a call of PVE with four learns the reason. */
const usualPace: Pace = { pausesMs: [200, 400, 800, 1600] };

/** Everything that one storage needs to talk to its array. */
export interface Session {
  readonly section: StorpoolSection;
  /** This node's name in PVE. */
  readonly node: string;
  /** Parses a volume name; throws `invalid`. */
  readonly parse: DriverEnvironment["parse"];
  /** What the PVE cluster knows of guests. */
  readonly cluster: Cluster;
  readonly client: StorpoolClient;
  readonly config: StorpoolConfig;
  readonly owner: Owner;
  /** Where StorPool's client puts the devices of this node. */
  readonly devices: string;
  readonly pace: Pace;
}

/** Opens the session of a storage when it is first needed, and again after the array rejected the credentials. */
export class Sessions {
  readonly #cluster = new Cluster();
  #open: Promise<Session> | undefined;

  constructor(
    private readonly section: StorpoolSection,
    private readonly environment: DriverEnvironment,
    private readonly pace: Pace = usualPace,
  ) {}

  /** Runs `body` with the session. A configuration that turns out to be wrong is read again the next time. */
  async use<T>(ctx: Context, body: (session: Session) => Promise<T>): Promise<T> {
    this.#open ??= this.#load(ctx);
    const opening = this.#open;
    try {
      return await body(await opening);
    } catch (error) {
      const stale = codeOf(error) === "auth" || codeOf(error) === "unreachable" || !(await settled(opening));
      if (stale && this.#open === opening) this.#open = undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    const open = await this.#open?.catch(() => undefined);
    this.#open = undefined;
    await open?.client.close();
  }

  async #load(ctx: Context): Promise<Session> {
    const { section, pace } = this;
    const { storeid, host, parse } = this.environment;
    const root = (process.env["PVE_BLOCKIO_STORPOOL_ROOT"] ?? "/").replace("{template}", section.template);
    const config = await loadConfig(ctx.signal, { root, node: host.name });
    const slug = clusterSlug(await this.#cluster.name(), host.name);
    const client = new StorpoolClient(new Transport(config, { pausesMs: pace.pausesMs }));
    return {
      section,
      node: host.name,
      parse,
      cluster: this.#cluster,
      client,
      config,
      owner: { slug, storeid },
      devices: this.#devices(config),
      pace,
    };
  }

  /** The directory can be another one than `/dev`; `{client}` in it stands for the client id. */
  #devices(config: StorpoolConfig): string {
    return (process.env["PVE_BLOCKIO_DEVICE_DIR"] ?? "/dev")
      .replace("{client}", String(config.ourId))
      .replace("{template}", this.section.template);
  }
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}

/** Where StorPool's client puts the device of an object on this node. */
export function devicePath({ devices }: Session, gid: string): string {
  return join(devices, "storpool-byid", gid);
}
