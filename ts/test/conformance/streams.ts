// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { native } from "../../src/common/native.js";
import type { Begun, Session } from "./session.js";

/** A `raw+size` stream: header and payload. */
export function streamOf(payload: Buffer, announced = BigInt(payload.length)): Buffer {
  const header = Buffer.alloc(8);
  header.writeBigUInt64LE(announced);
  return Buffer.concat([header, payload]);
}

/** Runs `read` and `write` at the two ends of a pipe. Either one may fail; both ends are closed in any case. */
export async function piped<R, W>(
  s: Session,
  read: (fd: number) => Promise<R>,
  write: (sink: FileHandle) => Promise<W>,
): Promise<{ read: PromiseSettledResult<R>; written: PromiseSettledResult<W> }> {
  const fifo = join(s.scratch, randomUUID());
  execFileSync("mkfifo", [fifo]);
  // Each of the two waits for the other.
  const [source, sink] = await Promise.all([open(fifo, "r"), open(fifo, "w")]);
  const [readEnd, writeEnd] = await Promise.allSettled([
    read(source.fd).finally(() => source.close()),
    write(sink).finally(() => sink.close()),
  ]);
  return { read: readEnd, written: writeEnd };
}

/** Writes all of `stream`; ends quietly when the reader has gone. */
export function sender(stream: Buffer): (sink: FileHandle) => Promise<void> {
  return async (sink) => {
    try {
      for (let done = 0; done < stream.length; ) {
        done += (await sink.write(stream, done, stream.length - done)).bytesWritten;
      }
    } catch (error) {
      if ((error as { code?: string }).code !== "EPIPE") throw error;
    }
  };
}

/** All bytes of the stream that an export of `path` writes. */
export async function exported(s: Session, path: string): Promise<Buffer> {
  const { read, written } = await piped(
    s,
    async (fd) => {
      const chunks: Buffer[] = [];
      const handle = await open(`/proc/self/fd/${fd}`, "r");
      try {
        for await (const chunk of handle.createReadStream({ autoClose: false })) chunks.push(chunk as Buffer);
      } finally {
        await handle.close();
      }
      return Buffer.concat(chunks);
    },
    (sink) => native().exportRaw({ source: path, sinkFd: sink.fd }).done,
  );
  if (written.status === "rejected") throw written.reason;
  if (read.status === "rejected") throw read.reason;
  return read.value;
}

/** Receives a stream whose header is read already, into the target of an import. */
export async function receive(begun: Begun, fd: number, size: bigint): Promise<bigint> {
  const { kind, path, zeroed } = begun.target;
  if (kind === "directory") throw new Error("a directory for a block stream");
  return (await native().importRaw({ sourceFd: fd, size, target: { kind, path }, zeroed }).done).bytes;
}

/** Sends a directory. */
export async function exportTree(source: string, sink: FileHandle): Promise<unknown> {
  return native().exportTar({ source, sinkFd: sink.fd }).done;
}

/** The whole stream of a directory. */
export async function archiveOf(s: Session, source: string): Promise<Buffer> {
  const file = await open(join(s.scratch, randomUUID()), "w+");
  try {
    await exportTree(source, file);
    const { size } = await file.stat();
    return (await file.read(Buffer.alloc(size), 0, size, 0)).buffer;
  } finally {
    await file.close();
  }
}

/** Imports a directory as the command line does. */
export async function importTree(
  s: Session,
  volname: string,
  send: (sink: FileHandle) => Promise<unknown>,
  allowRename = false,
): Promise<string> {
  const { read, written } = await piped(
    s,
    async (fd) => {
      const size = await native().readTarHeader(fd);
      const begun = await s.beginImport(volname, size, allowRename, "tar+size");
      try {
        await native().importTar({ sourceFd: fd, size, target: begun.target.path }).done;
        return await s.commitImport(begun);
      } catch (error) {
        await s.abandon(begun.token);
        throw error;
      }
    },
    send,
  );
  if (read.status === "rejected") throw read.reason;
  if (written.status === "rejected") throw written.reason;
  return read.value;
}

/**
 * Imports a whole stream as the command line does: header, name, data, commit. What fails ends the import as a lost
 * connection does.
 */
export async function importStream(
  s: Session,
  volname: string,
  send: (sink: FileHandle) => Promise<unknown>,
  allowRename = false,
): Promise<string> {
  const { read, written } = await piped(
    s,
    async (fd) => {
      const size = await native().readHeader(fd);
      const begun = await s.beginImport(volname, size, allowRename);
      try {
        await receive(begun, fd, size);
        return await s.commitImport(begun);
      } catch (error) {
        await s.abandon(begun.token);
        throw error;
      }
    },
    send,
  );
  if (read.status === "rejected") throw read.reason;
  if (written.status === "rejected") throw written.reason;
  return read.value;
}
