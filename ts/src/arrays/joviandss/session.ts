// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { codeOf, fail } from "../../common/errors.js";
import { systemCertificates } from "../../common/http/trust.js";
import { KeyedLocks } from "../../common/locks.js";
import { initiatorName } from "../../common/node-record.js";
import type { Secret } from "../../common/secret.js";
import type { DriverEnvironment, VolumeRef } from "../contract.js";
import { type ClientPace, JoviandssClient } from "./client.js";
import { withoutPrefix, withPrefix } from "./cluster.js";
import { parseVolumeObject, volumeObjectName } from "./names.js";
import type { JoviandssSection } from "./schema.js";
import { type Credentials, credentialsOf } from "./secrets.js";

/** What may differ from one node to the next, or be replaced in a test. */
export interface DriverOptions {
  readonly pace?: ClientPace;
  /** Directory of the files with passwords; PVE's own when absent. */
  readonly secrets?: string;
  /** The name by which this node logs in to targets; undefined when it has none. */
  initiator?(): Promise<string | undefined>;
}

/** Everything that one storage needs to talk to its array. */
export interface Session {
  readonly section: JoviandssSection;
  readonly storeid: string;
  readonly client: JoviandssClient;
  /** With which this node logs in to targets; undefined when everybody may. Throws `auth` when the password is missing. */
  readonly chap: { readonly user: string; readonly password: Secret } | undefined;
  /** The REST password is in storage.cfg, as earlier plugins had it. */
  readonly inlinePassword: boolean;
  /** Parses a volume name; throws `invalid`. */
  readonly parse: DriverEnvironment["parse"];
  /** The name by which this node logs in to targets, in small letters; undefined when it is not known. */
  initiator(): Promise<string | undefined>;
  /** Runs a change of targets when no other of this storage is under way: the array refuses two at a time. */
  edit<T>(ctx: Context, body: () => Promise<T>): Promise<T>;
}

/** The session of a storage, with the secrets of the moment. */
export class Sessions {
  readonly #edits = new KeyedLocks();
  readonly #closing = new Set<Promise<void>>();
  #open: { readonly client: Promise<JoviandssClient>; readonly password: Secret } | undefined;
  #warned = false;

  constructor(
    private readonly section: JoviandssSection,
    private readonly environment: DriverEnvironment,
    private readonly options: DriverOptions,
  ) {}

  /** Runs `body` with the session. Secrets are read each time: they may be changed on another node. */
  async use<T>(ctx: Context, body: (session: Session) => Promise<T>): Promise<T> {
    const { section } = this;
    const { storeid, parse } = this.environment;
    const credentials = await credentialsOf(section, storeid, this.options.secrets);
    if (credentials.inline && !this.#warned) {
      this.#warned = true;
      ctx.log.warn(
        `storage '${storeid}' has its user_password in storage.cfg, where every user of PVE's API may read it; ` +
          `move it with: pvesm set ${storeid} --user_password`,
      );
    }
    return body({
      section,
      storeid,
      client: await this.#client(credentials),
      get chap() {
        return chapOf(section, storeid, credentials);
      },
      inlinePassword: credentials.inline,
      parse,
      initiator: async () => (await (this.options.initiator ?? initiatorName)())?.toLowerCase(),
      edit: async (caller, change) => {
        const release = await this.#edits.acquire(["targets"], caller.signal);
        try {
          return await change();
        } finally {
          release();
        }
      },
    });
  }

  async close(): Promise<void> {
    this.#retire();
    await Promise.all(this.#closing);
  }

  /** The client with this password; the one before ends. */
  async #client({ password }: Credentials): Promise<JoviandssClient> {
    if (this.#open?.password.reveal() !== password.reveal()) {
      this.#retire();
      this.#open = { client: this.#connect(password), password };
    }
    const { client } = this.#open;
    try {
      return await client;
    } catch (error) {
      if (this.#open?.client === client) this.#open = undefined;
      throw error;
    }
  }

  async #connect(password: Secret): Promise<JoviandssClient> {
    const { controlAddresses: addresses, controlPort: port, user, verify, pool } = this.section;
    const ca = verify ? await systemCertificates() : undefined;
    const endpoint = { addresses, port, user, password, verify, ...(ca === undefined ? {} : { ca }) };
    return new JoviandssClient(endpoint, pool, this.options.pace);
  }

  #retire(): void {
    const closing = this.#open?.client.then(
      (client) => client.close(),
      () => undefined,
    );
    this.#open = undefined;
    if (!closing) return;
    this.#closing.add(closing);
    void closing.finally(() => this.#closing.delete(closing));
  }
}

function chapOf({ chapUser: user }: JoviandssSection, storeid: string, { chapPassword }: Credentials) {
  if (user === undefined) return undefined;
  if (chapPassword !== undefined) return { user, password: chapPassword };
  throw fail(
    "auth",
    `storage '${storeid}' has chap_enabled and no chap_user_password; set it with pvesm set ${storeid} --chap_user_password`,
  );
}

/** The id of a volume in the names of the array. */
export function idOf({ section }: Session, { name }: VolumeRef): string {
  return withPrefix(name, section.clusterPrefix);
}

/** The array's name of a volume. @throws `invalid` */
export function objectOf(session: Session, ref: VolumeRef): string {
  return volumeObjectName(idOf(session, ref));
}

/** The volume that an object of the array is; undefined for what is not one of this storage. */
export function refOf(session: Session, object: string): VolumeRef | undefined {
  const parsed = parseVolumeObject(object);
  // Only what is found again by its name: earlier plugins made others.
  if (parsed?.kind !== "volume" || volumeObjectName(parsed.id) !== object) return undefined;
  return ownId(session, parsed.id);
}

/** The volume that an id in the array's names is; undefined for what is not one of this storage. */
export function ownId(session: Session, id: string): VolumeRef | undefined {
  const name = withoutPrefix(id, session.section.clusterPrefix);
  if (name === undefined) return undefined;
  try {
    return session.parse(name);
  } catch (error) {
    if (codeOf(error) === "invalid") return undefined;
    throw error;
  }
}

/** Asks several things at once; when one fails the others are given up. */
export async function together<T extends readonly unknown[]>(
  ctx: Context,
  ...asks: { [K in keyof T]: (ctx: Context) => Promise<T[K]> }
): Promise<T> {
  const stop = new AbortController();
  const inner = { ...ctx, signal: AbortSignal.any([ctx.signal, stop.signal]) };
  try {
    return (await Promise.all(asks.map((ask) => ask(inner)))) as unknown as T;
  } finally {
    stop.abort();
  }
}
