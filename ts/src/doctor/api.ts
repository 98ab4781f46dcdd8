// SPDX-License-Identifier: AGPL-3.0-or-later
import { Agent, type Dispatcher, request } from "undici";
import { error, type Finding, ok, warning } from "../common/finding.js";

/** How far two clocks may be apart, in seconds. Replies tell whole ones. */
const skewLimit = 30;
const limitMs = 4_000;

/**
 * Each address of an array's API: does it answer, and what time is it there? Asked without credentials and whatever
 * certificate it has, so the answer may well be a refusal.
 */
export async function api(
  origins: readonly string[],
  signal: AbortSignal,
  oneIsEnough = false,
): Promise<Finding[]> {
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false, timeout: limitMs } });
  try {
    const answers = await Promise.all(origins.map((origin) => ask(dispatcher, origin, signal)));
    const all = answers.filter(({ why }) => why !== undefined);
    const silent = oneIsEnough && all.length < origins.length ? [] : all;
    const findings = silent.map(({ origin, why }) => {
      const text = `${origin} does not answer (${why})`;
      const remedy = "check network, address and port, and whether the array's node runs";
      return silent.length === origins.length
        ? error("address", text, remedy)
        : warning("address", text, remedy);
    });
    if (findings.length === 0)
      findings.push(
        ok(
          "address",
          `${answers.flatMap(({ origin, why }) => (why === undefined ? origin : [])).join(", ")} answers`,
        ),
      );
    return [...findings, ...clock(answers)];
  } finally {
    await dispatcher.destroy();
  }
}

interface Answer {
  readonly origin: string;
  /** Why there is none. */
  readonly why?: string;
  /** Seconds that the array's clock is ahead. */
  readonly ahead?: number;
}

async function ask(dispatcher: Dispatcher, origin: string, signal: AbortSignal): Promise<Answer> {
  try {
    const either = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
    const { headers, body } = await request(`${origin}/`, { method: "HEAD", dispatcher, signal: either });
    body.on("error", () => undefined).resume();
    const date = Date.parse(String(headers["date"]));
    return { origin, ...(Number.isNaN(date) ? {} : { ahead: (date - Date.now()) / 1000 }) };
  } catch (thrown) {
    const { code, name } = (thrown ?? {}) as { code?: unknown; name?: unknown };
    return {
      origin,
      why: typeof code === "string" ? code : name === "TimeoutError" ? "no answer" : String(name),
    };
  }
}

function clock(answers: readonly Answer[]): Finding[] {
  const told = answers.flatMap(({ ahead }) => ahead ?? []);
  const worst = told.sort((a, b) => Math.abs(b) - Math.abs(a))[0];
  if (worst === undefined) return [];
  if (Math.abs(worst) <= skewLimit) return [ok("clock", "the array's clock agrees with this node's")];
  const text = `the array's clock is ${Math.round(Math.abs(worst))} s ${worst > 0 ? "ahead of" : "behind"} this node's`;
  return [warning("clock", text, "set up NTP on both: ages of objects and certificates are judged by them")];
}
