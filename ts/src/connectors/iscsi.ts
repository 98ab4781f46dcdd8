// SPDX-License-Identifier: AGPL-3.0-or-later
import { dirname } from "node:path";
import type { Connection } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
import { fail } from "../common/errors.js";
import { KeyedLocks } from "../common/locks.js";
import type { Connector } from "./connector.js";
import type { DeviceLayer, DevicePath, Hctl, IscsiSession } from "./device-layer.js";
import { recordedPortals, targetHere } from "./iscsi-leftovers.js";
import { IscsiSessions, type IscsiTarget } from "./iscsi-sessions.js";
import { linksTo, linkTarget, removeLink, setLink } from "./link.js";
import { parsePortal } from "./portal.js";
import { addressText, ScsiDisk } from "./scsi-disk.js";

type Iscsi = Extract<Connection, { kind: "iscsi" }>;

const defaultPort = 3260;
/** Longer than iscsid tries one login, and how often one looks meanwhile, in milliseconds. */
const leftoverMs = 20_000;
const leftoverPauseMs = 1_000;

/**
 * Volumes behind iSCSI targets, over several portals at once where the array has them. Sessions with one target change one
 * after the other; disks of one identity too; all others go side by side.
 */
export class IscsiConnector implements Connector {
  readonly #locks = new KeyedLocks();
  readonly #sessions: IscsiSessions;
  /** Targets with an abandoned login. */
  readonly #leftovers = new Set<string>();

  constructor(
    private readonly layer: DeviceLayer,
    private readonly root = "/",
  ) {
    this.#sessions = new IscsiSessions(layer, root);
  }

  path(_connection: Connection, link: string): string {
    return link;
  }

  async connect(ctx: Context, connection: Connection, link: string): Promise<string> {
    const iscsi = iscsiOf(connection);
    return this.#locked(ctx, `disk ${iscsi.wwid}`, async () => {
      const disk = this.#disk(iscsi, "connect");
      // Once the LUN is a device, nobody who gives up another one logs out.
      const at = await this.#locked(ctx, `target ${iscsi.iqn}`, async () => {
        const sessions = await this.#sessions.logIn(ctx, targetOf(iscsi)).catch((error: unknown) => {
          if (ctx.signal.aborted) this.#giveUpLater(ctx.log, iscsi);
          throw error;
        });
        const addresses = sessions.map((session) => addressOf(session, iscsi.lun));
        await disk.scan(ctx, addresses);
        return addresses;
      });
      await setLink(link, await disk.assemble(ctx, at, iscsi));
      return link;
    });
  }

  async disconnect(ctx: Context, connection: Connection, link: string): Promise<void> {
    const iscsi = iscsiOf(connection);
    await this.#locked(ctx, `disk ${iscsi.wwid}`, async () => {
      await this.#disk(iscsi, "disconnect").remove(ctx, (paths, names) =>
        this.#isOthers(iscsi, link, paths, names),
      );
      await removeLink(link);
    });
    await this.#leave(ctx, iscsi);
  }

  /** The last one logs out. */
  async #leave(ctx: Context, iscsi: Iscsi): Promise<void> {
    await this.#locked(ctx, `target ${iscsi.iqn}`, () =>
      this.#sessions.logOutWhenUnused(ctx, targetOf(iscsi)),
    );
  }

  async refresh(ctx: Context, connection: Connection, size: bigint): Promise<void> {
    const iscsi = iscsiOf(connection);
    // Arrays have whole blocks: what was asked for may be less.
    const real = iscsi.size !== undefined && iscsi.size > size ? iscsi.size : size;
    await this.#locked(ctx, `disk ${iscsi.wwid}`, () => this.#disk(iscsi, "resize").refresh(real));
  }

  /**
   * Takes what no volume has off this node: a disk of the target, where one is named, then the sessions and records if no
   * other disk of it is left. `links` is the directory of all links, which tell what volumes have.
   *
   * @throws `refused` when it is a volume's or also of another target, `busy` while it is in use
   */
  async discard(ctx: Context, iqn: string, wwid: string | undefined, links: string): Promise<void> {
    if (wwid !== undefined)
      await this.#locked(ctx, `disk ${wwid}`, async () => {
        const what = `remove disk ${wwid} of '${iqn}'`;
        const map = await this.layer.multipathMap(this.root, wwid);
        const paths = await this.layer.devicePaths(this.root, wwid);
        const names = [...(map ? [`mapper/${map.name}`] : []), ...paths.map(({ name }) => name)];
        const linked = await this.#linksTo(links, names);
        if (linked.length > 0)
          throw fail("refused", `${what}: volume '${linked[0]}' has it; deactivate that`);
        const own = (await targetHere(this.layer, this.root, iqn)).paths.map(({ name }) => name);
        const other = paths.find(({ name }) => !own.includes(name));
        if (other)
          throw fail(
            "refused",
            `${what}: '/dev/${other.name}' leads to it over another target; remove that first`,
          );
        await new ScsiDisk(this.layer, wwid, what, this.root).remove(ctx);
      });
    await this.#locked(ctx, `target ${iqn}`, async () => {
      const portals = await recordedPortals(this.root, iqn);
      const gone = await this.#sessions.logOutWhenUnused(ctx, { iqn, portals, everyPortal: false });
      if (!gone && wwid === undefined)
        throw fail(
          "busy",
          `log out of '${iqn}': a disk of it is in use by now; look at pve-blockio sweep again`,
        );
    });
  }

  /**
   * A login that nobody waits for any more goes on in iscsid until its own time is over. What it makes, or keeps from being
   * removed, goes afterwards, unless it is used by then.
   */
  #giveUpLater(log: Context["log"], iscsi: Iscsi): void {
    if (this.#leftovers.has(iscsi.iqn)) return;
    this.#leftovers.add(iscsi.iqn);
    const end = performance.now() + leftoverMs;
    const again = () => {
      const ctx = { log, signal: AbortSignal.timeout(leftoverMs) };
      void this.#leave(ctx, iscsi)
        .catch((error: unknown) => log.debug("a login was given up", { target: iscsi.iqn, error }))
        .then(() => {
          if (performance.now() < end) setTimeout(again, leftoverPauseMs).unref();
          else this.#leftovers.delete(iscsi.iqn);
        });
    };
    setTimeout(again, leftoverPauseMs).unref();
  }

  #disk({ iqn, lun, wwid }: Iscsi, what: string): ScsiDisk {
    const own = () => this.#addresses(iqn, lun);
    return new ScsiDisk(this.layer, wwid, `${what} LUN ${lun} of '${iqn}'`, this.root, own);
  }

  /** Where a LUN is on this node, also over sessions that have lost their connection. */
  async #addresses(iqn: string, lun: number): Promise<Hctl[]> {
    return (await this.#sessions.of(iqn)).map((session) => addressOf(session, lun));
  }

  /**
   * A volume that was never made ready here, such as for another one's having the same identity: then what is here is that
   * one's, whose link leads to it.
   */
  async #isOthers(
    { iqn, lun }: Iscsi,
    link: string,
    paths: readonly DevicePath[],
    names: readonly string[],
  ): Promise<boolean> {
    if (names.length === 0 || (await linkTarget(link)) !== undefined) return false;
    const own = (await this.#addresses(iqn, lun)).map(addressText);
    if (paths.some(({ hctl }) => own.includes(addressText(hctl)))) return false;
    return (await this.#linksTo(dirname(dirname(link)), names)).length > 0;
  }

  /** The links of volumes that lead to one of these devices. */
  async #linksTo(links: string, names: readonly string[]): Promise<string[]> {
    return (await Promise.all(names.map((name) => linksTo(links, `/dev/${name}`)))).flat();
  }

  async #locked<T>(ctx: Context, key: string, body: () => Promise<T>): Promise<T> {
    const release = await this.#locks.acquire([key], ctx.signal);
    try {
      return await body();
    } finally {
      release();
    }
  }
}

function iscsiOf(connection: Connection): Iscsi {
  if (connection.kind === "iscsi") return connection;
  throw fail("internal", `iscsi connector was given a '${connection.kind}' connection`);
}

function targetOf({ iqn, portals, chap, multipath }: Iscsi): IscsiTarget {
  if (!/^(?:iqn\.|eui\.|naa\.)[A-Za-z0-9.:_-]{1,219}$/i.test(iqn)) {
    throw fail("invalid", `'${iqn}' is not the name of an iSCSI target; report it`);
  }
  return {
    iqn,
    portals: portals.map((portal) => parsePortal(portal, defaultPort)),
    everyPortal: multipath ?? true,
    ...(chap ? { chap } : {}),
  };
}

function addressOf({ host, channel, target }: IscsiSession, lun: number): Hctl {
  return { host, channel, target, lun };
}
