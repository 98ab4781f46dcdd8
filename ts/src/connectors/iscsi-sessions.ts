// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../common/context.js";
import { type BlockioError, codeOf, during, fail } from "../common/errors.js";
import { type Finished, findProgram, run } from "../common/process.js";
import type { DeviceLayer, IscsiSession } from "./device-layer.js";
import { changeRecord, recordFiles, sessionSettings } from "./iscsi-records.js";
import { formatPortal, type Portal } from "./portal.js";

/** A target, and where it can be reached. */
export interface IscsiTarget {
  readonly iqn: string;
  readonly portals: readonly Portal[];
  readonly chap?: { readonly user: string; readonly password: string };
}

/** Statuses of `iscsiadm`, see its manual. */
const status = { sessionExists: 15, noRecord: 21, authFailed: 24 } as const;
/** How long one call of `iscsiadm` may take, in milliseconds. */
const limits = { record: 10_000, login: 15_000, logout: 30_000 };
/** How long a session may take to show up in the kernel once `iscsiadm` says it is there, in milliseconds. */
const settleMs = 3_000;

/** Sessions of this node with iSCSI targets. */
export class IscsiSessions {
  constructor(
    private readonly layer: DeviceLayer,
    private readonly root = "/",
  ) {}

  /**
   * Logs in at every portal where there is no session yet. One is enough: others that fail are warned of, and tried again
   * the next time.
   *
   * @throws `auth` when the target rejects the credentials, `unreachable` when no portal can be used.
   */
  async logIn(ctx: Context, target: IscsiTarget): Promise<IscsiSession[]> {
    const before = await this.of(target.iqn);
    const missing = target.portals.filter((portal) => !before.some((session) => isAt(session, portal)));
    const failures: BlockioError[] = [];
    await Promise.all(
      missing.map((portal) =>
        this.#logInAt(ctx, target, portal).catch((error: unknown) => {
          failures.push(error as BlockioError);
        }),
      ),
    );
    ctx.signal.throwIfAborted();
    const sessions =
      missing.length === 0
        ? before
        : await this.#settled(target, missing.length - failures.length + before.length);
    const usable = sessions.filter(({ state }) => state === "LOGGED_IN");
    if (usable.length > 0) {
      for (const error of failures) ctx.log.warn("a portal cannot be used", { target: target.iqn, error });
      return usable;
    }
    const rejected = failures.find((error) => codeOf(error) === "auth");
    if (rejected) throw rejected;
    const why =
      failures.map(({ message }) => message).join("; ") || "its sessions have lost their connections";
    throw fail("unreachable", `log in to iSCSI target '${target.iqn}': no portal can be used: ${why}`);
  }

  /** Every session with a target, in any state. */
  of(iqn: string): Promise<IscsiSession[]> {
    return during(`look at the sessions with '${iqn}'`, () => this.layer.iscsiSessions(this.root, iqn));
  }

  /** Logs out of a target and forgets it, unless one of its LUNs is still a device here. Says whether it did. */
  async logOutWhenUnused(ctx: Context, { iqn }: IscsiTarget): Promise<boolean> {
    const sessions = await this.of(iqn);
    if (sessions.some(({ luns }) => luns.length > 0)) return false;
    if (sessions.length > 0) {
      const { status: ended } = await this.#iscsiadm(ctx, limits.logout, [
        "-m",
        "node",
        "-T",
        iqn,
        "--logout",
      ]);
      const left = await this.of(iqn);
      if (left.length > 0) {
        throw fail(
          "unreachable",
          `log out of iSCSI target '${iqn}': iscsiadm ended with status ${ended} and the session is still there; look at iscsid`,
        );
      }
    }
    await this.#iscsiadm(ctx, limits.record, ["-m", "node", "-T", iqn, "-o", "delete"]);
    return true;
  }

  async #logInAt(ctx: Context, { iqn, chap }: IscsiTarget, portal: Portal): Promise<void> {
    const at = formatPortal(portal);
    const what = `log in to iSCSI target '${iqn}' at ${at}`;
    const node = ["-m", "node", "-T", iqn, "-p", at];
    let files = await recordFiles(this.root, iqn, portal);
    if (files.length === 0) {
      const made = await this.#iscsiadm(ctx, limits.record, [...node, "-o", "new"]);
      files = await recordFiles(this.root, iqn, portal);
      if (files.length === 0)
        throw fail(
          "internal",
          `${what}: iscsiadm made no record (status ${made.status}); look at open-iscsi`,
        );
    }
    for (const file of files) await changeRecord(file, sessionSettings(chap));
    const login = await this.#iscsiadm(ctx, limits.login, [...node, "--login"]).catch((error: unknown) => {
      throw fail(
        "unreachable",
        `${what}: no answer within ${limits.login / 1000} s; check network and portal`,
        error,
      );
    });
    if (login.status === 0 || login.status === status.sessionExists) return;
    if (login.status === status.authFailed) {
      throw fail(
        "auth",
        `${what}: the target rejects the CHAP user or password; correct them in the storage`,
      );
    }
    throw fail(
      "unreachable",
      `${what}: iscsiadm ended with status ${login.status}; check network, portal and target`,
    );
  }

  /** The kernel's list, once it has as many as there should be. */
  async #settled(target: IscsiTarget, wanted: number): Promise<IscsiSession[]> {
    for (const end = performance.now() + settleMs; ; await new Promise((wake) => setTimeout(wake, 50))) {
      const sessions = await this.of(target.iqn);
      const ready = sessions.filter(({ state }) => state === "LOGGED_IN").length;
      if (ready >= wanted || performance.now() >= end) return sessions;
    }
  }

  async #iscsiadm(ctx: Context, limitMs: number, args: readonly string[]): Promise<Finished> {
    const program = await findProgram("iscsiadm", this.root);
    if (program === undefined)
      throw fail("unsupported", "use iSCSI: iscsiadm is missing; install open-iscsi");
    return run(program, args, { signal: ctx.signal, limitMs });
  }
}

function isAt({ portals }: IscsiSession, portal: Portal): boolean {
  return portals.includes(formatPortal(portal));
}
