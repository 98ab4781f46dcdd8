// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Call } from "../../common/http/call.js";
import { isLostReply } from "../../common/http/lost.js";
import type { Secret } from "../../common/secret.js";
import { waitUntil } from "../../common/wait.js";
import { means } from "./answer.js";
import type { Api } from "./api.js";
import {
  attachmentSchema,
  type JovianLun,
  type JovianTarget,
  type LunAttachment,
  lunSchema,
  sessionSchema,
  type TargetSession,
  targetSchema,
  userSchema,
} from "./shapes.js";
import { iqnOf } from "./targets.js";
import { nameOf } from "./volumes.js";

/** How a target lets initiators in. */
export interface TargetAccess {
  /** Names of the VIPs at which they may log in. */
  readonly vips: readonly string[];
  /** Only users of the target may. */
  readonly chap: boolean;
}

/** How often a user is added that gets in the way of another change, and the pauses between, in milliseconds. */
const clashRounds = 6;
const clashPauseMs = 200;

/** The requests for targets, LUNs, CHAP users and sessions. */
export class Exports {
  #limitsPortals = true;

  constructor(
    private readonly api: Api,
    /** How long a target is waited for that was made, or deleted. */
    private readonly patienceMs = 10_000,
  ) {}

  /** False when the array is too old to keep targets to some of the pool's addresses. */
  get limitsPortals(): boolean {
    return this.#limitsPortals;
  }

  list(ctx: Context): Promise<JovianTarget[]> {
    return this.api.list(ctx, "list targets", this.#path(), targetSchema);
  }

  find(ctx: Context, iqn: string): Promise<JovianTarget | undefined> {
    return this.api.find(ctx, `look up target ${iqn}`, this.#path(iqn), targetSchema);
  }

  /**
   * Makes a target and waits until it can be asked for. One that is there already is left as it is.
   */
  async create(
    ctx: Context,
    iqn: string,
    access: TargetAccess,
  ): Promise<{ readonly made: boolean; readonly target: JovianTarget }> {
    const what = `create target ${iqn}`;
    let target: JovianTarget | undefined;
    const landed = async (asker: Context) => {
      target = await this.find(asker, iqn);
      return target !== undefined;
    };
    let made = true;
    try {
      await this.#allowing(ctx, access, (part) => ({
        what,
        method: "POST",
        path: this.#path(),
        body: { name: iqnOf(iqn), active: true, ...part },
        repeat: "once",
        landed,
      }));
    } catch (error) {
      if (!means(error, "exists")) throw error;
      made = error.afterLost;
    }
    await waitUntil(() => landed(ctx), this.patienceMs, ctx.signal);
    if (target) return { made, target };
    throw fail("timeout", `${what}: JovianDSS does not show it; look at it there`);
  }

  /** Changes how a target lets initiators in. */
  async setAccess(ctx: Context, iqn: string, access: Partial<TargetAccess>): Promise<void> {
    await this.#allowing(ctx, access, (part) => ({
      what: `change target ${iqn}`,
      method: "PUT",
      path: this.#path(iqn),
      body: { name: iqnOf(iqn), ...part },
      repeat: "repeatable",
    }));
  }

  /** Sends what lets initiators in, without the addresses to an array that does not know of those. */
  async #allowing(
    ctx: Context,
    { vips, chap }: Partial<TargetAccess>,
    call: (part: Record<string, unknown>) => Call,
  ): Promise<void> {
    const users = chap === undefined ? {} : { incoming_users_active: chap };
    if (vips !== undefined && this.#limitsPortals) {
      try {
        const portals = { vip_allowed_portals: { enabled: true, assigned_vips: vips } };
        await this.api.send(ctx, call({ ...users, ...portals }));
        return;
      } catch (error) {
        if (!means(error, "outdated")) throw error;
        this.#limitsPortals = false;
        ctx.log.warn("this JovianDSS cannot keep targets to some addresses: they answer at all of the pool");
      }
    }
    await this.api.send(ctx, call(users));
  }

  /** Deletes a target and its sessions, as often as the array needs it. False when there was none. */
  async delete(ctx: Context, iqn: string): Promise<boolean> {
    let existed = false;
    const gone = async () => {
      if (!(await this.#delete(ctx, `delete target ${iqn}`, this.#path(iqn)))) return true;
      existed = true;
      return (await this.find(ctx, iqn)) === undefined;
    };
    if (await waitUntil(gone, this.patienceMs, ctx.signal)) return existed;
    throw fail("timeout", `delete target ${iqn}: JovianDSS still has it; delete it there`);
  }

  luns(ctx: Context, iqn: string): Promise<JovianLun[]> {
    return this.api.list(ctx, `list LUNs of target ${iqn}`, this.#path(iqn, "luns"), lunSchema);
  }

  lun(ctx: Context, iqn: string, volume: string): Promise<JovianLun | undefined> {
    const what = `look up volume '${volume}' on target ${iqn}`;
    return this.api.find(ctx, what, this.#path(iqn, "luns", nameOf(volume)), lunSchema);
  }

  /** Everywhere that a volume of this pool is attached. */
  async attachments(ctx: Context, volume: string): Promise<LunAttachment[]> {
    // Not encoded: the array was never asked in another way.
    const path = `san/iscsi/luns?where=name==${nameOf(volume)}`;
    const found = await this.api.list(
      ctx,
      `look for the target of volume '${volume}'`,
      path,
      attachmentSchema,
    );
    return found.filter(({ pool }) => pool === this.api.pool);
  }

  /** Attaches a volume. Throws `busy` when it is attached already, `exists` when the number is taken. */
  async attach(ctx: Context, iqn: string, volume: string, lun: number): Promise<void> {
    const landed = async (asker: Context) => (await this.lun(asker, iqn, volume))?.lun === lun;
    const body = { name: nameOf(volume), lun };
    const what = `attach volume '${volume}' to target ${iqn} as LUN ${lun}`;
    const path = this.#path(iqn, "luns");
    try {
      await this.api.send(ctx, { what, method: "POST", path, body, repeat: "once", landed });
    } catch (error) {
      const ours = means(error, "attached", "lun-taken") && error.afterLost && (await landed(ctx));
      if (!ours) throw error;
    }
  }

  /** False when it was not attached there. */
  detach(ctx: Context, iqn: string, volume: string): Promise<boolean> {
    const what = `detach volume '${volume}' from target ${iqn}`;
    return this.#delete(ctx, what, this.#path(iqn, "luns", nameOf(volume)));
  }

  users(ctx: Context, iqn: string): Promise<string[]> {
    return this.api.list(
      ctx,
      `list CHAP users of target ${iqn}`,
      this.#path(iqn, "incoming-users"),
      userSchema,
    );
  }

  /**
   * Lets a user log in. A lost reply is not followed by another attempt: the array does not show passwords, so that
   * nobody could tell which one it has. After a clash with another change what may have been made is taken back first.
   */
  async addUser(ctx: Context, iqn: string, name: string, password: Secret): Promise<void> {
    const what = `add CHAP user '${name}' to target ${iqn}`;
    const body = { name, password: password.reveal() };
    const path = this.#path(iqn, "incoming-users");
    for (let round = 1; ; round++) {
      try {
        await this.api.send(ctx, { what, method: "POST", path, body, repeat: "once" });
        return;
      } catch (error) {
        // The answer may quote the password.
        if (error instanceof Error) error.message = password.scrub(error.message);
        const clash = means(error, "config-clash");
        if (clash || isLostReply(error)) await this.deleteUser(ctx, iqn, name);
        if (!clash || round >= clashRounds) throw error;
        await sleep(clashPauseMs * round * (0.5 + Math.random()), undefined, { signal: ctx.signal });
      }
    }
  }

  /** False when there was none. */
  deleteUser(ctx: Context, iqn: string, name: string): Promise<boolean> {
    const what = `delete CHAP user '${name}' of target ${iqn}`;
    return this.#delete(ctx, what, this.#path(iqn, "incoming-users", encodeURIComponent(name)));
  }

  /** Who is logged in. A failure must be read as "somebody". */
  sessions(ctx: Context, iqn: string): Promise<TargetSession[]> {
    return this.api.list(ctx, `list sessions of target ${iqn}`, this.#path(iqn, "sessions"), sessionSchema);
  }

  /** A request after which the object is gone. False when the array says that there was none. */
  async #delete(ctx: Context, what: string, path: string): Promise<boolean> {
    try {
      await this.api.send(ctx, { what, method: "DELETE", path, body: {}, repeat: "repeatable" });
      return true;
    } catch (error) {
      if (means(error, "absent")) return error.afterLost;
      throw error;
    }
  }

  #path(...parts: readonly [iqn?: string, ...rest: string[]]): string {
    const [iqn, ...rest] = parts;
    return this.api.path("san/iscsi/targets", ...(iqn === undefined ? [] : [iqnOf(iqn), ...rest]));
  }
}
