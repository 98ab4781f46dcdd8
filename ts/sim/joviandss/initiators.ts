// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { attachLoop, detachLoop, isDeviceOpen, loopSize, resizeLoop } from "../common/loops.js";
import { Mutex } from "../common/mutex.js";
import type { JovianArray } from "./array.js";
import { type Login, loginProblem } from "./logins.js";
import { euiOf, scsiIdOf } from "./shapes.js";
import type { Lun, Session } from "./state.js";

/** What an initiator is told to use. */
export const wantedSchema = z.object({
  iqn: z.string(),
  /** `ADDRESS:PORT`, or an address alone. */
  portals: z.array(z.string()),
  lun: z.number().int(),
  wwid: z.string(),
  /** Bytes. */
  size: z.coerce.bigint().optional(),
  multipath: z.boolean().default(true),
  chap: z.object({ user: z.string(), password: z.string() }).optional(),
});
/** See {@link wantedSchema}. */
export type Wanted = z.output<typeof wantedSchema>;

/** An initiator's failure, with the code that a connector would have. */
export class InitiatorError extends Error {
  constructor(
    readonly code: "auth" | "busy" | "refused" | "unreachable",
    message: string,
  ) {
    super(message);
  }
}

interface Disk {
  readonly iqn: string;
  readonly file: string | undefined;
  readonly device: string;
}

/**
 * What stands for a node's kernel where no real targets are exported: logs in as the array allows it, and has a loop device
 * over the file of each LUN. It believes nothing: number, identity and size must be those of the LUN. Without files a disk is
 * a name.
 */
export class Initiator {
  readonly #sessions = new Map<string, Map<string, Session>>();
  readonly #disks = new Map<string, Disk>();
  readonly #turn = new Mutex();

  constructor(
    private readonly array: JovianArray,
    private readonly login: (login: Login) => Session,
    private readonly logout: (session: Session) => void,
    readonly name: string,
  ) {}

  /** Logs in where that is missing, and gives the device. */
  connect(wanted: Wanted): Promise<string> {
    return this.#turn.run(async () => {
      this.#logIn(wanted);
      try {
        return await this.#disk(wanted);
      } catch (error) {
        this.#logOut(wanted.iqn);
        throw error;
      }
    });
  }

  /** Takes a disk away, and logs out after the last one of its target. Throws `busy`. */
  disconnect({ iqn, wwid }: Pick<Wanted, "iqn" | "wwid">): Promise<void> {
    return this.#turn.run(async () => {
      const disk = this.#disks.get(wwid);
      if (disk?.file !== undefined) {
        const inUse = (await isDeviceOpen(disk.device)) || !(await detachLoop(disk.device, disk.file));
        if (inUse) throw new InitiatorError("busy", `device '${disk.device}' is in use; stop that first`);
      }
      this.#disks.delete(wwid);
      this.#logOut(iqn);
    });
  }

  /** Makes a disk that is there have its new size. */
  refresh({ wwid, size = 0n }: Pick<Wanted, "wwid" | "size">): Promise<void> {
    return this.#turn.run(async () => {
      const disk = this.#disks.get(wwid);
      if (disk?.file === undefined) return;
      await resizeLoop(disk.device);
      if (BigInt(loopSize(disk.device)) < size)
        throw new InitiatorError("unreachable", `'${disk.device}' does not see ${size} bytes`);
    });
  }

  /** Targets that it is logged in to, and identities of the disks that it has. */
  get state(): { readonly sessions: readonly string[]; readonly disks: readonly string[] } {
    return { sessions: [...this.#sessions.keys()].sort(), disks: [...this.#disks.keys()].sort() };
  }

  /** As when the node loses power: the array keeps its sessions. */
  async die(): Promise<void> {
    for (const { device, file } of this.#disks.values())
      if (file !== undefined) await detachLoop(device, file);
    this.#disks.clear();
    this.#sessions.clear();
  }

  #logIn({ iqn, portals, chap, multipath }: Wanted): void {
    // A target that was deleted has cut its sessions.
    const living = new Set(this.#target(iqn)?.sessions.map(({ sid }) => sid));
    const sessions = new Map([...(this.#sessions.get(iqn) ?? [])].filter(([, { sid }]) => living.has(sid)));
    const problems: string[] = [];
    for (const at of portals) {
      const portal = at.replace(/:[0-9]+$/, "").replace(/^\[(.*)\]$/, "$1");
      if (sessions.has(portal) || (!multipath && sessions.size > 0)) continue;
      const login = { iqn, initiator: this.name, ip: "127.0.0.9", portal, ...(chap ? { chap } : {}) };
      const problem = this.#problem(login);
      if (problem === undefined) sessions.set(portal, this.login(login));
      else problems.push(problem);
    }
    if (sessions.size > 0) {
      this.#sessions.set(iqn, sessions);
      return;
    }
    this.#sessions.delete(iqn);
    const code = problems.includes("authorization failure") ? "auth" : "unreachable";
    throw new InitiatorError(code, `log in to '${iqn}': ${problems.join(", ")}`);
  }

  #problem(login: Login): string | undefined {
    const pool = [...this.array.state.pools.values()].find(({ targets }) => targets.has(login.iqn));
    return pool ? loginProblem(pool, pool.targets.get(login.iqn), login) : "no such target";
  }

  #logOut(iqn: string): void {
    if ([...this.#disks.values()].some((disk) => disk.iqn === iqn)) return;
    for (const session of this.#sessions.get(iqn)?.values() ?? []) this.logout(session);
    this.#sessions.delete(iqn);
  }

  #target(iqn: string) {
    return [...this.array.state.pools.values()].flatMap(({ targets }) => targets.get(iqn) ?? [])[0];
  }

  async #disk({ iqn, lun: number, wwid, size }: Wanted): Promise<string> {
    const lun = this.#target(iqn)?.luns.get(number);
    if (!lun) throw new InitiatorError("unreachable", `'${iqn}' has no LUN ${number}`);
    const { volume, empty, scsiId = scsiIdOf(volume) } = lun;
    if (`2${euiOf(scsiId)}` !== wwid)
      throw new InitiatorError("refused", `LUN ${number} of '${iqn}' is not disk ${wwid}`);
    const real = empty ? 0n : BigInt(volume.volsize);
    if (size !== undefined && size !== real)
      throw new InitiatorError(
        "unreachable",
        `LUN ${number} of '${iqn}' has ${real} bytes instead of ${size}`,
      );
    const known = this.#disks.get(wwid);
    if (known) {
      if (known.file !== undefined && BigInt(loopSize(known.device)) !== real) await resizeLoop(known.device);
      return known.device;
    }
    const disk = await this.#appear(iqn, lun);
    this.#disks.set(wwid, disk);
    return disk.device;
  }

  async #appear(iqn: string, { volume, mode }: Lun): Promise<Disk> {
    const file = this.array.files?.path(volume.id);
    if (file === undefined) return { iqn, file, device: volume.name };
    const readOnly = mode === "ro" || volume.properties.get("readonly") === "on";
    return { iqn, file, device: await attachLoop(file, readOnly) };
  }
}
