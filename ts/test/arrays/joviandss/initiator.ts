// SPDX-License-Identifier: AGPL-3.0-or-later
import { statSync } from "node:fs";
import { join } from "node:path";
import { attachLoop, detachLoop, isDeviceOpen, loopSize, resizeLoop } from "../../../sim/common/loops.js";
import type { JovianSimulator, Session } from "../../../sim/joviandss/index.js";
import { euiOf, scsiIdOf } from "../../../sim/joviandss/shapes.js";
import type { Connection } from "../../../src/arrays/contract.js";
import type { Context } from "../../../src/common/context.js";
import { fail } from "../../../src/common/errors.js";
import { KeyedLocks } from "../../../src/common/locks.js";
import type { Connector } from "../../../src/connectors/connector.js";
import { removeLink, setLink } from "../../../src/connectors/link.js";

type Iscsi = Extract<Connection, { kind: "iscsi" }>;

interface Disk {
  readonly iqn: string;
  readonly file: string;
  readonly loop: string;
}

/**
 * What stands for a node's kernel: logs in as the simulated array allows it, and has a loop device over the file of each
 * LUN. It believes nothing: number, identity and size must be those of the LUN. Without files a disk is its name.
 */
export class LoopInitiator implements Connector {
  readonly #sessions = new Map<string, Map<string, Session>>();
  readonly #disks = new Map<string, Disk>();
  readonly #locks = new KeyedLocks();

  constructor(
    private readonly simOf: (iqn: string) => JovianSimulator | undefined,
    readonly name: string,
    private readonly data?: (sim: JovianSimulator) => string,
  ) {}

  path(_connection: Connection, link: string): string {
    return link;
  }

  connect(ctx: Context, connection: Connection, link: string): Promise<string> {
    return this.#locked(ctx, connection, async (iscsi) => {
      const sim = this.#logIn(iscsi);
      try {
        const disk = await this.#disk(sim, iscsi);
        await setLink(link, disk.loop);
        return link;
      } catch (error) {
        this.#logOut(iscsi);
        throw error;
      }
    });
  }

  disconnect(ctx: Context, connection: Connection, link: string): Promise<void> {
    return this.#locked(ctx, connection, async (iscsi) => {
      const disk = this.#disks.get(iscsi.wwid);
      if (disk) {
        if (this.data && (await isDeviceOpen(disk.loop)))
          throw fail("busy", `device '${disk.loop}' is in use; stop that first`);
        if (this.data && !(await detachLoop(disk.loop, disk.file)))
          throw fail("busy", `device '${disk.loop}' does not go; stop what uses it`);
        this.#disks.delete(iscsi.wwid);
      }
      await removeLink(link);
      this.#logOut(iscsi);
    });
  }

  released(ctx: Context, connection: Connection): Promise<void> {
    return this.#locked(ctx, connection, async (iscsi) => this.#logOut(iscsi));
  }

  refresh(ctx: Context, connection: Connection, size: bigint): Promise<void> {
    return this.#locked(ctx, connection, async ({ wwid }) => {
      const disk = this.#disks.get(wwid);
      if (!disk || !this.data) return;
      await resizeLoop(disk.loop);
      if (BigInt(loopSize(disk.loop)) < size)
        throw fail("unreachable", `'${disk.loop}' does not see ${size} bytes`);
    });
  }

  /** Targets that this node is logged in to, and disks that it has. */
  get state(): { readonly sessions: readonly string[]; readonly disks: readonly string[] } {
    return { sessions: [...this.#sessions.keys()].sort(), disks: [...this.#disks.keys()].sort() };
  }

  /** As when the node loses power: the array keeps its sessions. */
  async die(): Promise<void> {
    for (const { loop, file } of this.#disks.values()) if (this.data) await detachLoop(loop, file);
    this.#disks.clear();
    this.#sessions.clear();
  }

  #logIn(iscsi: Iscsi): JovianSimulator {
    const { iqn, portals, chap, multipath = true } = iscsi;
    const sim = this.simOf(iqn);
    if (!sim) throw fail("unreachable", `log in to '${iqn}': there is no such target`);
    // A target that was deleted has cut its sessions.
    const living = new Set(
      sim
        .pool()
        .targets.get(iqn)
        ?.sessions.map(({ sid }) => sid),
    );
    const sessions = new Map([...(this.#sessions.get(iqn) ?? [])].filter(([, { sid }]) => living.has(sid)));
    const problems: string[] = [];
    for (const at of portals) {
      const portal = at.replace(/:[0-9]+$/, "").replace(/^\[(.*)\]$/, "$1");
      if (sessions.has(portal) || (!multipath && sessions.size > 0)) continue;
      try {
        const login = { iqn, initiator: this.name, ip: "127.0.0.9", portal, ...(chap ? { chap } : {}) };
        sessions.set(portal, sim.login(login));
      } catch (error) {
        problems.push((error as Error).message);
      }
    }
    if (sessions.size > 0) {
      this.#sessions.set(iqn, sessions);
      return sim;
    }
    this.#sessions.delete(iqn);
    const code = problems.includes("authorization failure") ? "auth" : "unreachable";
    throw fail(code, `log in to '${iqn}': ${problems.join(", ")}`);
  }

  #logOut({ iqn }: Iscsi): void {
    if ([...this.#disks.values()].some((disk) => disk.iqn === iqn)) return;
    for (const session of this.#sessions.get(iqn)?.values() ?? []) this.simOf(iqn)?.logout(session);
    this.#sessions.delete(iqn);
  }

  async #disk(sim: JovianSimulator, { iqn, lun: number, wwid, size }: Iscsi): Promise<Disk> {
    const lun = sim.pool().targets.get(iqn)?.luns.get(number);
    if (!lun) throw fail("unreachable", `'${iqn}' has no LUN ${number}`);
    const { volume, mode, empty, scsiId = scsiIdOf(volume) } = lun;
    if (`2${euiOf(scsiId)}` !== wwid) throw fail("refused", `LUN ${number} of '${iqn}' is not disk ${wwid}`);
    const real = empty ? 0n : BigInt(volume.volsize);
    if (size !== undefined && size !== real)
      throw fail("unreachable", `LUN ${number} of '${iqn}' has ${real} bytes instead of ${size}`);
    const known = this.#disks.get(wwid);
    if (known) {
      if (this.data && BigInt(loopSize(known.loop)) !== real) await resizeLoop(known.loop);
      return known;
    }
    const file = this.data ? join(this.data(sim), `joviandss-${volume.id}.raw`) : volume.name;
    if (this.data) statSync(file);
    const readOnly = mode === "ro" || volume.properties.get("readonly") === "on";
    const loop = this.data ? await attachLoop(file, readOnly) : volume.name;
    const disk = { iqn, file, loop };
    this.#disks.set(wwid, disk);
    return disk;
  }

  async #locked<T>(ctx: Context, connection: Connection, body: (iscsi: Iscsi) => Promise<T>): Promise<T> {
    if (connection.kind !== "iscsi") throw fail("internal", `a '${connection.kind}' connection`);
    const release = await this.#locks.acquire([connection.iqn], ctx.signal);
    try {
      ctx.signal.throwIfAborted();
      return await body(connection);
    } finally {
      release();
    }
  }
}
