// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ExecutionContext } from "ava";
import { native } from "../../../src/common/native.js";
import { overBridge } from "../bridge.js";
import { KiB, MiB, pattern, readBytes, writeBytes } from "../bytes.js";
import type { Topic } from "../question.js";
import { type Begun, failure, type Session } from "../session.js";
import { importStream, piped, receive, sender, streamOf } from "../streams.js";

/** Data with holes in it: three blocks of bytes far apart. */
function sparse(length: number): Buffer {
  const data = Buffer.alloc(length);
  for (const at of [0, Math.floor(length / 2), length - 1000]) pattern(`at ${at}`, 1000).copy(data, at);
  return data;
}

async function contentOf(s: Session, volname: string, length: number): Promise<Buffer> {
  return readBytes(await s.map(volname), 0n, length);
}

/** Whether the data goes into something that the service has made already. */
function madeAhead(begun: Begun): boolean {
  return begun.target.kind !== "create";
}

/** Asserts that an import of a broken stream fails as `invalid` and leaves nothing. */
async function broken(t: ExecutionContext, s: Session, stream: Buffer): Promise<void> {
  const volname = s.subject.volname(100, "vm-100-disk-0", "raw");
  await s.leavesNothing(t, async () => {
    const error = await failure(() => importStream(s, volname, sender(stream)));
    t.is(error?.code, "invalid", error?.message);
  });
  t.deepEqual(await s.list(), []);
}

export const imports: Topic = {
  name: "import",
  questions: (subject) => {
    const disk = (index: number, vmid = 100) => subject.volname(vmid, `vm-${vmid}-disk-${index}`, "raw");
    const plain = (volname: string) => subject.plain?.(volname) ?? volname;
    return [
      {
        title: "makes a volume of exactly the stream's bytes, under exactly the name",
        async ask(t, s) {
          for (const [index, length] of [4 << 20, 528 << 10, (3 << 20) + 512].entries()) {
            const data = sparse(length);
            const volname = await importStream(s, disk(index), sender(streamOf(data)));
            t.is(volname, disk(index));
            t.is((await s.info(volname)).size, s.rounded(BigInt(length)));
            t.true((await contentOf(s, volname, length)).equals(data));
          }
          t.deepEqual(await s.names(), [disk(0), disk(1), disk(2)]);
        },
      },
      {
        title: "takes what an export sends, through a pipe",
        async ask(t, s) {
          const source = await s.alloc({ size: 8n * MiB });
          await s.fill(source, "moved");
          const path = await s.map(source);
          const send = (sink: { fd: number }) => native().exportRaw({ source: path, sinkFd: sink.fd }).done;
          const copy = await importStream(s, disk(0, 101), send);
          await s.shows(t, copy, "moved", { size: 8n * MiB });
          t.true((await contentOf(s, copy, 8 << 20)).equals(await contentOf(s, source, 8 << 20)));
        },
      },
      {
        title: "shows nothing of what was on the array before",
        async ask(t, s) {
          const old = await s.alloc({ size: 4n * MiB });
          const path = await s.map(old);
          await writeBytes(path, 0n, pattern("old", 4 << 20));
          await s.free(old);
          const volname = await importStream(s, disk(0), sender(streamOf(sparse(4 << 20))));
          t.true((await contentOf(s, volname, 4 << 20)).equals(sparse(4 << 20)));
        },
      },
      {
        title: "of a template makes the name that was asked for",
        async ask(t, s) {
          const base = subject.volname(100, "base-100-disk-0", "raw");
          const volname = await importStream(s, base, sender(streamOf(sparse(1 << 20))));
          t.is(volname, base);
          t.deepEqual(await s.names(), [base]);
          t.is(await s.alloc(), disk(1));
        },
      },
      {
        title: "never takes a taken name",
        async ask(t, s) {
          const volname = await s.alloc();
          await s.fill(volname, "first");
          await s.refused(t, "exists", () => s.beginImport(volname, MiB), volname);
          const error = await failure(() => importStream(s, volname, sender(streamOf(sparse(1 << 20)))));
          t.is(error?.code, "exists");
          await s.shows(t, volname, "first", { size: MiB });
          t.deepEqual(await s.names(), [volname]);
        },
      },
      {
        title: "takes a free name instead of a taken one where that is allowed",
        async ask(t, s) {
          const volname = await s.alloc();
          await s.fill(volname, "first");
          const data = sparse(1 << 20);
          const other = await importStream(s, volname, sender(streamOf(data)), true);
          t.is(other, disk(1));
          t.true((await contentOf(s, other, 1 << 20)).equals(data));
          await s.shows(t, volname, "first");
          t.is(await importStream(s, disk(7), sender(streamOf(data)), true), disk(7), "a free name is kept");
        },
      },
      {
        title: "keeps its name to itself while it lasts",
        async ask(t, s) {
          const begun = await s.beginImport(disk(0), MiB);
          t.is(begun.volname, disk(0));
          const other = await s.alloc();
          t.is(other, disk(1));
          t.is(await s.freeName(), subject.fileName("vm-100-disk-2", "raw"));
          const name = subject.fileName("vm-100-disk-0", "raw");
          await s.refused(t, "exists", () => s.alloc({ name }), disk(0));
          await s.refused(t, "exists", () => s.beginImport(disk(0), MiB), disk(0));
          if (subject.capabilities.rename) {
            await s.refused(t, "exists", () => s.rename(other, 100, name), disk(0));
          }
          await s.refused(t, "busy", () => s.free(disk(0)), disk(0));
          const second = await s.beginImport(disk(0), MiB, true);
          t.is(second.volname, disk(2));
          await s.abandon(second.token);
          await s.abandon(begun.token);
          t.is(await s.alloc(), disk(0), "the name is free again");
        },
      },
      {
        title: "is not undone by what happens to the guest's other volumes",
        async ask(t, s) {
          const other = await s.alloc();
          const data = sparse(1 << 20);
          const { read } = await piped(
            s,
            async (fd) => {
              const size = await native().readHeader(fd);
              const begun = await s.beginImport(disk(1), size);
              await s.free(other);
              await receive(begun, fd, size);
              return s.commitImport(begun);
            },
            sender(streamOf(data)),
          );
          t.is(read.status, "fulfilled", String((read as { reason?: unknown }).reason));
          t.true((await contentOf(s, disk(1), 1 << 20)).equals(data));
        },
      },
      {
        title: "that is given up before any data leaves nothing",
        async ask(t, s) {
          await s.leavesNothing(t, async () => {
            const begun = await s.beginImport(disk(0), MiB);
            await s.abandon(begun.token);
          });
          t.deepEqual(await s.list(), []);
        },
      },
      {
        title: "that is given up after the data and before the commit leaves nothing",
        async ask(t, s) {
          await s.leavesNothing(t, async () => {
            await piped(
              s,
              async (fd) => {
                const size = await native().readHeader(fd);
                const begun = await s.beginImport(disk(0), size);
                await receive(begun, fd, size);
                await s.abandon(begun.token);
              },
              sender(streamOf(sparse(1 << 20))),
            );
          });
          t.deepEqual(await s.list(), []);
        },
      },
      {
        title: "whose client hangs up leaves nothing, and its name is free",
        async ask(t, s) {
          const before = await s.place.inventory();
          await overBridge(s, async (connect) => {
            const client = await connect();
            const args = { volname: disk(0), size: `${MiB}`, format: "raw+size", allowRename: false };
            const begun = await client.call<Begun>("volume_import", args);
            t.is(plain(begun.volname), disk(0));
            // Another client knows of it, and keeps away.
            const other = await connect();
            const error = await failure(() => other.call("volume_import", args));
            t.is(error?.code, "exists");
            await piped(s, (fd) => receive(begun, fd, MiB), sender(sparse(1 << 20)));
            await client.hangUp();
            t.deepEqual(await s.place.inventory(), before);
            const again = await other.call<Begun>("volume_import", args);
            t.is(plain(again.volname), disk(0));
            await other.hangUp();
            t.deepEqual(await s.place.inventory(), before);
          });
          t.deepEqual(await s.list(), []);
        },
      },
      {
        title: "over a connection is there after its commit, whoever hangs up then",
        async ask(t, s) {
          const data = sparse(1 << 20);
          await overBridge(s, async (connect) => {
            const client = await connect();
            const args = { volname: disk(0), size: `${MiB}`, format: "raw+size", allowRename: false };
            const begun = await client.call<Begun>("volume_import", args);
            await piped(s, (fd) => receive(begun, fd, MiB), sender(data));
            await client.call("volume_import_commit", { token: begun.token, volname: begun.volname });
            s.made(begun.volname);
            await client.hangUp();
          });
          t.deepEqual(await s.names(), [disk(0)]);
          t.true((await contentOf(s, disk(0), 1 << 20)).equals(data));
        },
      },
      {
        title: "that is committed over another connection stays when its own hangs up",
        async ask(t, s) {
          const data = sparse(1 << 20);
          await overBridge(s, async (connect) => {
            const [client, other] = [await connect(), await connect()];
            const args = { volname: disk(0), size: `${MiB}`, format: "raw+size", allowRename: false };
            const begun = await client.call<Begun>("volume_import", args);
            await piped(s, (fd) => receive(begun, fd, MiB), sender(data));
            await other.call("volume_import_commit", { token: begun.token, volname: begun.volname });
            s.made(begun.volname);
            await client.hangUp();
            await other.hangUp();
          });
          t.deepEqual(await s.names(), [disk(0)]);
          t.true((await contentOf(s, disk(0), 1 << 20)).equals(data));
        },
      },
      {
        title: "that is stopped in the middle of the data leaves nothing",
        async ask(t, s) {
          await s.leavesNothing(t, async () => {
            const { read } = await piped(
              s,
              async (fd) => {
                const size = await native().readHeader(fd);
                const begun = await s.beginImport(disk(0), size);
                const { kind, path, zeroed } = begun.target;
                if (kind === "directory") throw new Error("a directory for a block stream");
                const stream = native().importRaw({ sourceFd: fd, size, target: { kind, path }, zeroed });
                setTimeout(() => stream.cancel(), 50);
                try {
                  return (await stream.done).bytes;
                } finally {
                  await s.abandon(begun.token);
                }
              },
              async (sink) => {
                await sender(streamOf(sparse(64 << 10), 64n * MiB))(sink);
                await new Promise((resolve) => setTimeout(resolve, 500));
              },
            );
            t.is(read.status, "rejected");
          });
          t.deepEqual(await s.list(), []);
        },
      },
      {
        title: "of a stream that ends early is invalid and leaves nothing",
        async ask(t, s) {
          const stream = streamOf(sparse(1 << 20));
          await broken(t, s, stream.subarray(0, stream.length - 1));
          await broken(t, s, stream.subarray(0, 100));
          await broken(t, s, stream.subarray(0, 8));
          await broken(t, s, stream.subarray(0, 5));
          await broken(t, s, Buffer.alloc(0));
        },
      },
      {
        title: "of a stream that goes on too long is invalid and leaves nothing",
        async ask(t, s) {
          await broken(t, s, Buffer.concat([streamOf(sparse(1 << 20)), Buffer.from([0])]));
          await broken(t, s, Buffer.concat([streamOf(sparse(1 << 20)), Buffer.alloc(1 << 20, 7)]));
        },
      },
      {
        title: "of a stream with an absurd size is refused and leaves nothing",
        async ask(t, s) {
          await broken(t, s, streamOf(sparse(64 << 10), 0n));
          await broken(t, s, streamOf(sparse(64 << 10), (1n << 64n) - 1n));
        },
      },
      {
        title: "cannot be committed without data, nor without having begun",
        async ask(t, s) {
          const begun = await s.beginImport(disk(0), MiB);
          // Where the volume had to be made ahead nobody but the stream knows what has been written.
          if (madeAhead(begun)) t.true((await s.names()).length <= 1);
          else await s.refused(t, ["absent", "refused"], () => s.commitImport(begun));
          await s.abandon(begun.token);
          t.deepEqual(await s.list(), []);
          const args = { token: "00000000-0000-0000-0000-000000000000", volname: disk(5) };
          await s.refused(t, "absent", () => s.call("volume_import_commit", args), disk(5));
        },
      },
      {
        title: "is committed by a service that was restarted meanwhile",
        async ask(t, s) {
          const begun = await s.beginImport(disk(0), MiB);
          await piped(s, (fd) => receive(begun, fd, MiB), sender(sparse(1 << 20)));
          const service = s.restarted();
          t.is(await service.commitImport(begun), disk(0));
          t.deepEqual(await service.names(), [disk(0)]);
          t.true((await contentOf(service, disk(0), 1 << 20)).equals(sparse(1 << 20)));
        },
      },
      {
        title:
          "that was cut off by a crash of all sides is made again, and nothing of the first attempt stays",
        async ask(t, s) {
          const begun = await s.beginImport(disk(0), 2n * MiB);
          await piped(s, (fd) => receive(begun, fd, 2n * MiB), sender(pattern("first", 2 << 20)));
          const service = s.restarted();
          if (madeAhead(begun)) await service.free(disk(0));
          const volname = await importStream(service, disk(0), sender(streamOf(sparse(1 << 20))));
          t.is(volname, disk(0));
          t.is((await service.info(volname)).size, s.rounded(MiB));
          t.true((await contentOf(service, volname, 1 << 20)).equals(sparse(1 << 20)));
        },
      },
      {
        title: "that was cut off by a crash of all sides does not stop the name from being used",
        async ask(t, s) {
          const begun = await s.beginImport(disk(0), MiB);
          await piped(s, (fd) => receive(begun, fd, MiB), sender(sparse(1 << 20)));
          const service = s.restarted();
          if (madeAhead(begun)) await service.free(disk(0));
          const volname = await service.alloc({ name: subject.fileName("vm-100-disk-0", "raw") });
          t.is(volname, disk(0));
          if (subject.capabilities.zeroedOnCreate) await service.readsZero(t, volname, 0n, 1 << 20);
        },
      },
      {
        title: "given up on one node leaves alone what another node has made meanwhile",
        needs: ["atomicNames"],
        async ask(t, s) {
          const begun = await s.beginImport(disk(0), MiB);
          const other = s.at("node-b");
          const name = subject.fileName("vm-100-disk-0", "raw");
          const outcome = await failure(() => other.alloc({ name }));
          if (outcome === undefined) await other.fill(disk(0), "the other node's");
          else t.is(outcome.code, "exists", "or the name is reserved on the array");
          await s.abandon(begun.token);
          if (outcome !== undefined) return;
          t.deepEqual(await s.names(), [disk(0)]);
          await s.shows(t, disk(0), "the other node's");
        },
      },
      {
        title: "of another stream format is unsupported",
        async ask(t, s) {
          for (const format of ["tar+size", "qcow2+size", "zfs", ""]) {
            const args = { volname: disk(0), size: "1048576", format, allowRename: true };
            await s.refused(t, ["unsupported", "invalid"], () => s.call("volume_import", args));
          }
        },
      },
      {
        title: "of many streams at once gives each its own name",
        async ask(t, s) {
          const streams = Array.from({ length: 6 }, (_, index) => pattern(`stream ${index}`, 256 << 10));
          const made = await Promise.all(
            streams.map((data) => importStream(s, disk(0), sender(streamOf(data)), true)),
          );
          t.deepEqual(
            [...made].sort(),
            streams.map((_, index) => disk(index)),
          );
          for (const [index, volname] of made.entries()) {
            t.true((await contentOf(s, volname, 256 << 10)).equals(streams[index] ?? Buffer.alloc(0)));
          }
          t.is((await s.list()).length, 6);
          t.is((await s.info(made[0] ?? "")).size, s.rounded(256n * KiB));
        },
      },
    ];
  },
};
