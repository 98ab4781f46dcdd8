// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { LostReply, Unreadable } from "../../common/http/lost.js";
import { ArrayError } from "./answer.js";
import { isGid } from "./naming.js";
import {
  type Attachment,
  attachmentsSchema,
  bothSchema,
  clientConfigSchema,
  objectSchema,
  rowsSchema,
  type Services,
  type StorpoolObject,
  servicesSchema,
  type TemplateStatus,
  templateSchema,
  templateStatusSchema,
} from "./schemas.js";
import { lookUpInList, templateInList } from "./settle.js";
import type { Transport } from "./transport.js";

/** All volumes and all snapshots, of everybody. */
export interface Everything {
  readonly volumes: readonly StorpoolObject[];
  readonly snapshots: readonly StorpoolObject[];
}

/** Lists that {@link Queries.rawList} gives. */
export type RawList = "VolumesList" | "SnapshotsList" | "VolumeTemplatesStatus";

/** Tells by an object's raw tags whether it is worth decoding. */
export type Relevant = (tags: Readonly<Record<string, unknown>>) => boolean;

function rawTags(row: unknown): Readonly<Record<string, unknown>> {
  const { tags } = (row ?? {}) as { tags?: unknown };
  return typeof tags === "object" && tags !== null ? (tags as Record<string, unknown>) : {};
}

/** The queries of StorPool's API: they change nothing, so each is repeated after any failure of the transport. */
export class Queries {
  protected readonly transport: Transport;
  #bothListsInOne = true;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  /** State of the cluster; the cheapest question, also for whether it answers. */
  async services(ctx: Context): Promise<Services> {
    const what = "ask StorPool for its services";
    return this.decode(what, servicesSchema, await this.#query(ctx, what, "ServicesList"));
  }

  /** Throws `absent` when there is no such template. */
  async describeTemplate(ctx: Context, name: string): Promise<{ readonly name: string }> {
    const what = `look up StorPool template '${name}'`;
    const path = `VolumeTemplateDescribe/${encodeURIComponent(name)}`;
    try {
      return this.decode(what, templateSchema, await this.#probe(ctx, what, path));
    } catch (error) {
      if (error instanceof Unreadable) return templateInList(this, ctx, name, error);
      throw error;
    }
  }

  /** Capacities of all templates that have one. */
  async templatesStatus(ctx: Context): Promise<TemplateStatus[]> {
    const what = "ask StorPool for capacities";
    return this.#rows(ctx, what, templateStatusSchema, await this.#probe(ctx, what, "VolumeTemplatesStatus"));
  }

  /**
   * Every volume and snapshot, in one request where the release has it. Rows whose tags are not `relevant` are not even
   * decoded: of thousands of objects a caller wants a few.
   */
  async listAll(ctx: Context, relevant?: Relevant): Promise<Everything> {
    if (this.#bothListsInOne) {
      const what = "list volumes and snapshots";
      try {
        const data = await this.#query(ctx, what, "VolumesAndSnapshotsList");
        const both = this.decode(what, bothSchema, data);
        return {
          volumes: this.#rows(ctx, what, objectSchema("volume"), both.volumes, relevant),
          snapshots: both.snapshots
            ? this.#rows(ctx, what, objectSchema("snapshot"), both.snapshots, relevant)
            : await this.snapshots(ctx),
        };
      } catch (error) {
        const unknownThere =
          (error instanceof Unreadable && error.final) ||
          (error instanceof ArrayError && ["refused", "invalid", "absent"].includes(error.code));
        if (!unknownThere) throw error;
        ctx.log.info("StorPool does not list volumes and snapshots in one, asking for each", { error });
      }
    }
    // In this order: what is turned from a volume into a snapshot meanwhile is in both lists rather than in none.
    const volumes = await this.volumes(ctx);
    const snapshots = await this.snapshots(ctx);
    // Only now: had the array been at fault, these would have failed too.
    this.#bothListsInOne = false;
    return { volumes, snapshots };
  }

  async volumes(ctx: Context): Promise<StorpoolObject[]> {
    const what = "list volumes";
    return this.#rows(ctx, what, objectSchema("volume"), await this.#query(ctx, what, "VolumesList"));
  }

  async snapshots(ctx: Context): Promise<StorpoolObject[]> {
    const what = "list snapshots";
    return this.#rows(ctx, what, objectSchema("snapshot"), await this.#query(ctx, what, "SnapshotsList"));
  }

  /** The rows of a list as they came, none left out. Asked for once: to settle what a longer search did not. */
  async rawList(ctx: Context, path: RawList): Promise<readonly unknown[]> {
    const what = `ask StorPool for ${path}`;
    return this.decode(what, rowsSchema, await this.transport.call(ctx, { what, path, repeat: "once" }));
  }

  /** Throws `absent` when StorPool says that there is none. */
  volume(ctx: Context, gid: string): Promise<StorpoolObject> {
    return this.#single(ctx, "volume", gid);
  }

  /** Throws `absent` when StorPool says that there is none. */
  snapshot(ctx: Context, gid: string): Promise<StorpoolObject> {
    return this.#single(ctx, "snapshot", gid);
  }

  /** Every attachment of every object; fails rather than leaving one out. */
  async attachments(ctx: Context): Promise<Attachment[]> {
    const what = "list attachments";
    return this.decode(what, attachmentsSchema, await this.#query(ctx, what, "AttachmentsList"));
  }

  /**
   * Waits until a client has the current configuration, for instance a volume's new size; gives its state, `ok` when it
   * has. Throws `timeout` after `limitMs` milliseconds, further attempts included.
   */
  async clientConfigWait(ctx: Context, client: number, limitMs = 30_000): Promise<string> {
    const what = `wait for StorPool client ${client}`;
    const signal = AbortSignal.any([ctx.signal, AbortSignal.timeout(limitMs)]);
    const call = { what, path: `ClientConfigWait/${client}`, repeat: "query", limitMs, waits: true } as const;
    return this.decode(what, clientConfigSchema, await this.transport.call({ ...ctx, signal }, call));
  }

  /** Ends all connections. */
  close(): Promise<void> {
    return this.transport.close();
  }

  /** How a request names an object. Also keeps anything else out of the path. */
  protected address(gid: string): string {
    if (!isGid(gid)) throw fail("internal", `'${gid}' is not a global id of StorPool; report it`);
    return `~${gid}`;
  }

  /** The reply of a creating command. What was made is unknown when it cannot be read, as if it had been lost. */
  protected decodeCreated<S extends z.ZodType>(what: string, schema: S, data: unknown): z.output<S> {
    const result = schema.safeParse(data);
    if (result.success) return result.data;
    throw new LostReply("unreachable", misread(what, result.error));
  }

  protected decode<S extends z.ZodType>(what: string, schema: S, data: unknown): z.output<S> {
    const result = schema.safeParse(data);
    if (result.success) return result.data;
    throw fail("internal", misread(what, result.error));
  }

  /** Decodes row by row: one that cannot be read is left out with a warning. */
  #rows<S extends z.ZodType>(
    ctx: Context,
    what: string,
    schema: S,
    data: unknown,
    relevant?: Relevant,
  ): z.output<S>[] {
    return this.decode(what, rowsSchema, data).flatMap((row) => {
      if (relevant && !relevant(rawTags(row))) return [];
      const result = schema.safeParse(row);
      if (result.success) return [result.data];
      ctx.log.warn(misread(`${what}: a row is left out`, result.error));
      return [];
    });
  }

  async #single(ctx: Context, type: "volume" | "snapshot", gid: string): Promise<StorpoolObject> {
    const what = `look up ${type} ${gid}`;
    const path = `${type === "volume" ? "Volume" : "Snapshot"}/${this.address(gid)}`;
    let data: unknown;
    try {
      data = await this.#query(ctx, what, path);
    } catch (error) {
      if (error instanceof Unreadable) return lookUpInList(this, ctx, type, gid, error);
      throw error;
    }
    const rows = Array.isArray(data) ? data : [data];
    const found = rows.length === 1 ? this.decode(what, objectSchema(type), rows[0]) : undefined;
    if (found?.gid === gid) return found;
    throw fail("internal", `${what}: StorPool answered about something else; report it`);
  }

  #probe(ctx: Context, what: string, path: string): Promise<unknown> {
    return this.transport.call(ctx, { what, path, repeat: "query", probe: true });
  }

  #query(ctx: Context, what: string, path: string): Promise<unknown> {
    return this.transport.call(ctx, { what, path, repeat: "query" });
  }
}

function misread(what: string, error: z.ZodError): string {
  const issue = error.issues[0];
  const at = issue?.path.join(".") || "its data";
  return `${what}: StorPool's answer cannot be read (${at}: ${issue?.message ?? "unknown"}); report it`;
}
