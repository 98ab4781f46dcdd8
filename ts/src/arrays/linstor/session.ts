// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import type { TransportLimits } from "../../common/http/limits.js";
import type { DriverEnvironment } from "../contract.js";
import { Cluster } from "../guest.js";
import { endpointOf } from "./access.js";
import { LinstorClient } from "./client.js";
import type { Endpoint } from "./dialect.js";
import { recordDirectory } from "./records.js";
import type { LinstorSection } from "./schema.js";

/** What may differ from one node to the next, or be replaced in a test. */
export interface DriverOptions {
  readonly limits?: Partial<TransportLimits>;
  readonly patience?: Partial<Patience>;
  /** Directory of the files with secrets; PVE's own when absent. */
  readonly secrets?: string;
  /** Directory of the notes of names; PVE's own when absent. */
  readonly records?: string;
  /** File with the satellite's token; the usual one when absent. */
  readonly token?: string;
  /** Where DRBD's devices are; `{node}` in it stands for this node's name in LINSTOR. `/dev` when absent. */
  readonly devices?: string;
}

/** How long is waited for what comes by itself, in milliseconds. */
export interface Patience {
  /** For replicas that are not UpToDate yet. */
  readonly syncMs: number;
  /** For what uses a volume that is to go. */
  readonly closingMs: number;
  /** For a copy of a snapshot with all its steps, one of which takes as long as a request may where pools copy all data. */
  readonly copyMs: number;
  /** For an undo, which goes on after the caller's time is over. */
  readonly undoMs: number;
}

const usualPatience: Patience = { syncMs: 30_000, closingMs: 10_000, copyMs: 420_000, undoMs: 60_000 };

/** Everything that one storage needs to talk to LINSTOR. */
export interface Session {
  readonly section: LinstorSection;
  readonly storeid: string;
  readonly client: LinstorClient;
  /** This node's name in PVE, and in LINSTOR. */
  readonly host: string;
  readonly node: string;
  /** Parses a volume name; throws `invalid`. */
  readonly parse: DriverEnvironment["parse"];
  /** What the PVE cluster knows of guests. */
  readonly cluster: Cluster;
  /** Where DRBD's devices are. */
  readonly devices: string;
  /** Where the names of volumes are noted. */
  readonly records: string;
  readonly patience: Patience;
}

/** The session of a storage, with the credentials of the moment. */
export class Sessions {
  readonly #cluster = new Cluster();
  readonly #closing = new Set<Promise<void>>();
  #open: { readonly client: LinstorClient; readonly key: string } | undefined;

  constructor(
    private readonly section: LinstorSection,
    private readonly environment: DriverEnvironment,
    private readonly options: DriverOptions,
  ) {}

  /** Runs `body` with the session. Files are read each time: they may be changed on another node. */
  async use<T>(_ctx: Context, body: (session: Session) => Promise<T>): Promise<T> {
    const { section, options } = this;
    const { storeid, host, parse } = this.environment;
    const { secrets, token } = options;
    const endpoint = await endpointOf(section, storeid, {
      ...(secrets === undefined ? {} : { secrets }),
      ...(token === undefined ? {} : { token }),
    });
    const node = `${host.name}${section.domain}`;
    return body({
      section,
      storeid,
      client: this.#client(endpoint),
      host: host.name,
      node,
      parse,
      cluster: this.#cluster,
      devices: (options.devices ?? process.env["PVE_BLOCKIO_DEVICE_DIR"] ?? "/dev").replace("{node}", node),
      records: options.records ?? recordDirectory(storeid),
      patience: { ...usualPatience, ...options.patience },
    });
  }

  async close(): Promise<void> {
    this.#retire();
    await Promise.all(this.#closing);
  }

  /** The client with these credentials; the one before ends. */
  #client(endpoint: Endpoint): LinstorClient {
    const { controllers, authorization, ca, cert, key } = endpoint;
    const parts = [controllers, authorization?.reveal(), ca, cert, key?.reveal()];
    const known = JSON.stringify(parts);
    if (this.#open?.key !== known) {
      this.#retire();
      this.#open = { client: new LinstorClient(endpoint, this.options.limits), key: known };
    }
    return this.#open.client;
  }

  #retire(): void {
    const closing = this.#open?.client.close();
    this.#open = undefined;
    if (!closing) return;
    this.#closing.add(closing);
    void closing.finally(() => this.#closing.delete(closing));
  }
}
