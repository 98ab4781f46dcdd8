// SPDX-License-Identifier: AGPL-3.0-or-later
import type { StreamHandle, StreamResult } from "../../../dist/blockio.js";
import { fail } from "../common/errors.js";
import type { BridgeClient, Section } from "./client.js";
import type { Option, Values } from "./options.js";
import { bytes, text } from "./options.js";
import { print, say } from "./output.js";
import { progressLine } from "./progress.js";

/** Options that both directions have. */
export const streamOptions = {
  device: {
    type: "string",
    value: "PATH",
    help: "image, device or directory; needs neither PVE nor service",
  },
  format: { type: "string", value: "FORMAT", help: "raw+size for images, tar+size for directories" },
  digest: { type: "boolean", help: "print the SHA-256 of the payload on standard error" },
  rate: { type: "string", value: "BYTES", help: "bytes per second at most; K, M, G, T allowed" },
  "no-progress": { type: "boolean", help: "no progress lines on standard error" },
} as const satisfies Record<string, Option>;

/** The part of the addon's options that comes straight from the command line. */
export function transferOptions(values: Values): { digest?: boolean; rateLimit?: bigint } {
  const rateLimit = bytes(values, "rate");
  return { digest: values["digest"] === true, ...(rateLimit === undefined ? {} : { rateLimit }) };
}

/** The formats of streams. */
export type StreamFormat = "raw+size" | "tar+size";

/** The format that the command line asks for, if any; throws `unsupported`. */
export function formatOf(command: string, values: Values): StreamFormat | undefined {
  const format = text(values, "format");
  if (format === undefined || format === "raw+size" || format === "tar+size") return format;
  throw fail("unsupported", `${command}: format '${format}' is not one of raw+size, tar+size`);
}

/** An archive has no digest: the receiver's would be of other bytes. */
export function refuseDigest(command: string, values: Values): void {
  if (values["digest"] === true) throw fail("unsupported", `${command}: --digest goes with raw+size only`);
}

/** Ends a stream by signal: the status that a shell expects, and the undo that belongs to it. */
export class Interrupted extends Error {
  constructor(readonly exitStatus: number) {
    super("interrupted");
  }
}

const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Runs one transfer: progress on standard error, cancelled by SIGINT, SIGTERM and SIGHUP. */
export async function transfer(
  values: Values,
  start: (onProgress: (bytes: bigint, seconds: number) => void) => StreamHandle,
): Promise<StreamResult> {
  const quiet = values["no-progress"] === true;
  const result = await interruptible(() => {
    const handle = start((bytes, seconds) => {
      if (!quiet) say(`${progressLine(bytes, Math.floor(seconds))}\n`);
    });
    return { done: handle.done, cancel: () => handle.cancel() };
  });
  if (!quiet) say(`${progressLine(result.bytes, result.seconds)}\n`);
  if (result.sha256 !== undefined && result.sha256 !== null)
    say(`sha256:${result.sha256} ${result.bytes} bytes\n`);
  for (const note of result.notes) say(`${note}\n`);
  return result;
}

/**
 * Starts something and waits for it; a signal cancels it and this rejects with {@link Interrupted}. Signals are caught
 * before it starts: from its first byte on the end is an orderly one.
 */
export async function interruptible<T>(start: () => { done: Promise<T>; cancel(): void }): Promise<T> {
  let status: number | undefined;
  let cancel = () => {};
  const listeners = Object.entries(signals).map(([signal, code]) => {
    const listener = () => {
      status ??= code;
      cancel();
    };
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  try {
    const running = start();
    cancel = () => running.cancel();
    return await running.done;
  } catch (error) {
    if (status !== undefined) throw new Interrupted(status);
    throw error;
  } finally {
    for (const remove of listeners) remove();
  }
}

/** How long the service may take to note that a stream has ended, in milliseconds. */
const reportMs = 1_000;

/** Runs a stream between this node's service and the world, and tells the service how it ended: for its metrics, no more. */
export async function reported(
  client: BridgeClient,
  { storeid }: Section,
  direction: "export" | "import",
  run: () => Promise<StreamResult>,
): Promise<StreamResult> {
  const started = performance.now();
  const tell = async (ended: "done" | "failed", bytes: bigint) => {
    const args = { direction, ended, bytes: bytes.toString(), seconds: (performance.now() - started) / 1000 };
    const section = { storeid, scfg: {} };
    const late = new Promise<void>((resolve) => setTimeout(resolve, reportMs).unref());
    await Promise.race([client.call("stream_ended", section, args).catch(() => undefined), late]);
  };
  try {
    const result = await run();
    await tell("done", result.bytes);
    return result;
  } catch (error) {
    await tell("failed", 0n);
    throw error;
  }
}

/** The result as one JSON line on `stream`. */
export function resultJson(result: StreamResult, extra: Record<string, unknown> = {}): string {
  return `${JSON.stringify({
    ...extra,
    bytes: result.bytes.toString(),
    dataBytes: result.dataBytes.toString(),
    seconds: result.seconds,
    ...(result.sha256 ? { sha256: result.sha256 } : {}),
  })}\n`;
}

export { print, say };
