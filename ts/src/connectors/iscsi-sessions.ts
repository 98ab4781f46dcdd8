// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../common/context.js";
import { codeOf, during, fail, wrap } from "../common/errors.js";
import { type Finished, findProgram, run } from "../common/process.js";
import type { DeviceLayer, IscsiSession } from "./device-layer.js";
import { changeRecord, recordFiles, sessionSettings } from "./iscsi-records.js";
import { formatPortal, type Portal } from "./portal.js";

/** A target, and where it can be reached. */
export interface IscsiTarget {
  readonly iqn: string;
  readonly portals: readonly Portal[];
  /** Log in at all of them, not only at the first that works. */
  readonly everyPortal: boolean;
  readonly chap?: { readonly user: string; readonly password: string };
}

/** Statuses of `iscsiadm`, see its manual. */
const status = { sessionExists: 15, noRecord: 21, authFailed: 24 } as const;
/** How long one call of `iscsiadm` may take, in milliseconds. */
const limits = { record: 10_000, login: 15_000, logout: 30_000 };
/**
 * `iscsiadm` locks its records while it reads or writes them. Killed then, it leaves a lock that stops everybody until the
 * administrator removes it: it is spared for so many milliseconds.
 */
const spare = { record: limits.record, login: 1_000, logout: 1_000 };
/** How long a session may take to show up in the kernel once `iscsiadm` says it is there, in milliseconds. */
const settleMs = 3_000;

/** Sessions of this node with iSCSI targets. */
export class IscsiSessions {
  constructor(
    private readonly layer: DeviceLayer,
    private readonly root = "/",
  ) {}

  /**
   * Logs in at every portal where there is no session yet, or at the first that works. One is enough: others that fail are
   * warned of, and tried again the next time.
   *
   * @throws `auth` when the target rejects the credentials, `unreachable` when no portal can be used. When the caller's time
   *   is over, iscsid goes on trying: what comes of that is to be given up later.
   */
  async logIn(ctx: Context, target: IscsiTarget): Promise<IscsiSession[]> {
    const before = await this.of(target.iqn);
    const absent = target.portals.filter((portal) => !before.some((session) => isAt(session, portal)));
    const done = !target.everyPortal && before.some(({ state }) => state === "LOGGED_IN");
    const missing = done ? [] : absent;
    const results = target.everyPortal
      ? await Promise.allSettled(missing.map((portal) => this.#logInAt(ctx, target, portal)))
      : await firstThatWorks(missing, (portal) => this.#logInAt(ctx, target, portal));
    ctx.signal.throwIfAborted();
    const failures = results.flatMap((result, index) => {
      const portal = missing[index];
      if (result.status === "fulfilled" || !portal) return [];
      return [{ at: formatPortal(portal), error: wrap(result.reason, formatPortal(portal)) }];
    });
    const made = results.length - failures.length;
    const sessions = made === 0 ? before : await this.#settled(target, made + before.length);
    const usable = sessions.filter(({ state }) => state === "LOGGED_IN");
    if (usable.length > 0) {
      for (const { at, error } of failures) {
        ctx.log.warn("a portal cannot be used", { target: target.iqn, at, error });
      }
      return usable;
    }
    // Nothing was there before, so nothing is left: not the records of portals that do not work either.
    if (sessions.length === 0) await this.#forget(ctx, target);
    const rejected = failures.some(({ error }) => error.code === "auth");
    const why =
      failures.map(({ error }) => error.message).join("; ") || "its sessions have lost their connections";
    const next = rejected
      ? "correct CHAP user and password in the storage"
      : "check network, portals and target";
    throw fail(rejected ? "auth" : "unreachable", `log in to iSCSI target '${target.iqn}': ${why}; ${next}`);
  }

  /** Every session with a target, in any state. */
  of(iqn: string): Promise<IscsiSession[]> {
    return during(`look at the sessions with '${iqn}'`, () => this.layer.iscsiSessions(this.root, iqn));
  }

  /** Logs out of a target and forgets it, unless one of its LUNs is still a device here. Says whether it did. */
  async logOutWhenUnused(ctx: Context, target: IscsiTarget): Promise<boolean> {
    const { iqn } = target;
    const sessions = await this.of(iqn);
    if (sessions.some(({ luns }) => luns.length > 0)) return false;
    if (sessions.length > 0) {
      const { status: ended } = await this.#iscsiadm(ctx, "logout", ["-m", "node", "-T", iqn, "--logout"]);
      const left = await this.of(iqn);
      if (left.length > 0) {
        throw fail(
          "unreachable",
          `log out of iSCSI target '${iqn}': iscsiadm ended with status ${ended} and the session is still there; look at iscsid`,
        );
      }
    }
    await this.#forget(ctx, target);
    return true;
  }

  /** Removes the records of a target, portal by portal: what was never logged in to has one of its own kind. */
  async #forget(ctx: Context, { iqn, portals }: IscsiTarget): Promise<void> {
    for (const portal of portals) {
      if ((await recordFiles(this.root, iqn, portal)).length === 0) continue;
      const node = ["-m", "node", "-T", iqn, "-p", formatPortal(portal)];
      const { status: ended } = await this.#iscsiadm(ctx, "record", [...node, "-o", "delete"]);
      if (ended !== 0)
        ctx.log.warn("a record of a target stays", { target: iqn, at: formatPortal(portal), ended });
    }
  }

  async #logInAt(ctx: Context, { iqn, chap }: IscsiTarget, portal: Portal): Promise<void> {
    const node = ["-m", "node", "-T", iqn, "-p", formatPortal(portal)];
    let files = await recordFiles(this.root, iqn, portal);
    if (files.length === 0) {
      const made = await this.#iscsiadm(ctx, "record", [...node, "-o", "new"]);
      files = await recordFiles(this.root, iqn, portal);
      if (files.length === 0) throw fail("internal", `iscsiadm made no record (status ${made.status})`);
    }
    for (const file of files) await changeRecord(file, sessionSettings(chap));
    const login = await this.#iscsiadm(ctx, "login", [...node, "--login"]).catch((error: unknown) => {
      if (codeOf(error) !== "timeout") throw error;
      throw fail("unreachable", `no answer within ${limits.login / 1000} s`, error);
    });
    if (login.status === 0 || login.status === status.sessionExists) return;
    if (login.status === status.authFailed)
      throw fail("auth", "the target rejects the CHAP user or password");
    throw fail("unreachable", `no session (status ${login.status} of iscsiadm)`);
  }

  /** The kernel's list, once it has as many as there should be. */
  async #settled(target: IscsiTarget, wanted: number): Promise<IscsiSession[]> {
    for (const end = performance.now() + settleMs; ; await new Promise((wake) => setTimeout(wake, 50))) {
      const sessions = await this.of(target.iqn);
      const ready = sessions.filter(({ state }) => state === "LOGGED_IN").length;
      if (ready >= wanted || performance.now() >= end) return sessions;
    }
  }

  async #iscsiadm(ctx: Context, what: keyof typeof limits, args: readonly string[]): Promise<Finished> {
    const program = await findProgram("iscsiadm", this.root);
    if (program === undefined)
      throw fail("unsupported", "use iSCSI: iscsiadm is missing; install open-iscsi");
    return run(program, args, { signal: ctx.signal, limitMs: limits[what], spareMs: spare[what] });
  }
}

/** One after the other, until one is done. */
async function firstThatWorks(
  portals: readonly Portal[],
  logIn: (portal: Portal) => Promise<void>,
): Promise<PromiseSettledResult<void>[]> {
  const results: PromiseSettledResult<void>[] = [];
  for (const portal of portals) {
    const [result] = await Promise.allSettled([logIn(portal)]);
    results.push(result);
    if (result.status === "fulfilled") break;
  }
  return results;
}

function isAt({ portals }: IscsiSession, portal: Portal): boolean {
  return portals.includes(formatPortal(portal));
}
