// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { targetAt } from "./lookup.js";
import { refuse } from "./refusal.js";
import type { Pool, Session, Target } from "./state.js";
import { changed, created, type Handler, ok, parsed } from "./world.js";

const userName = /^\w([a-zA-Z0-9-_]*\w)?$/;
const passwordPattern = /^[a-zA-Z0-9\-_!@%()+?.:;]+$/;

const userBody = z.strictObject({ name: z.string().regex(userName), password: z.string() });

export const userList: Handler = (world, ask) =>
  ok([...targetAt(world, ask).users.keys()].map((name) => ({ name })));

export const userAdd: Handler = (world, ask) => {
  const target = targetAt(world, ask);
  const { name, password } = parsed(world, userBody, ask.body);
  const { chapMax } = world.behaviour;
  if (password.length < 12 || password.length > chapMax)
    throw refuse.invalid(`Password is allowed to contain from 12 to ${chapMax} characters`);
  if (!passwordPattern.test(password)) throw refuse.invalid("Password has characters that are not allowed");
  target.users.set(name, password);
  world.touched(ask.pool, target);
  return created(world, { name });
};

export const userDelete: Handler = (world, ask) => {
  const target = targetAt(world, ask);
  const name = ask.at["user"] ?? "";
  if (!target.users.delete(name)) throw refuse.noUser(name);
  world.touched(ask.pool, target);
  return changed(world);
};

export const sessionList: Handler = async (world, ask) => {
  const target = targetAt(world, ask);
  return ok((await world.sessions(target)).map((session) => sessionShape(target, session)));
};

export const poolSessionList: Handler = async (world, { pool }) => {
  const rows: unknown[] = [];
  for (const target of pool.targets.values())
    for (const session of await world.sessions(target)) rows.push(sessionShape(target, session));
  return ok(rows);
};

function sessionShape({ name }: Target, { initiator, ip, sid, cid }: Session): Record<string, string> {
  return { target_name: name, initiator_name: initiator, ip, sid, cid };
}

/** A login, as an initiator asks for it. */
export interface Login {
  readonly iqn: string;
  readonly initiator: string;
  /** Of the initiator. */
  readonly ip: string;
  /** The VIP's address that it logs in at. */
  readonly portal: string;
  readonly chap?: { readonly user: string; readonly password: string };
}

/** Why a login is refused; undefined when it is allowed. */
export function loginProblem(pool: Pool, target: Target | undefined, login: Login): string | undefined {
  if (!target?.active) return "no such target";
  const vip = pool.vips.find(({ address }) => address === login.portal);
  if (!vip) return "no such portal";
  const { enabled, assigned } = target.portals;
  if (enabled && !assigned.includes(vip.name)) return "no such target at this portal";
  if (!target.incomingUsersActive) return undefined;
  const { chap } = login;
  return chap && target.users.get(chap.user) === chap.password ? undefined : "authorization failure";
}
