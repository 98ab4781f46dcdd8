// SPDX-License-Identifier: AGPL-3.0-or-later
import { GiB, KiB, MiB, sizeOf, TiB } from "../bytes.js";
import type { Question, Topic } from "../question.js";

/** Those of PVE's own volumes, and some that are no multiple of anything. */
const asked: Record<string, bigint> = {
  "1 byte": 1n,
  "511 bytes": 511n,
  "1 KiB": KiB,
  "128 KiB, an old EFI disk": 128n * KiB,
  "528 KiB, an EFI disk": 528n * KiB,
  "4 MiB, a TPM state": 4n * MiB,
  "a byte less than 4 MiB": 4n * MiB - 1n,
  "16 MiB and 1 byte": 16n * MiB + 1n,
  "1 GiB and 1 KiB": GiB + KiB,
  "1 TiB": TiB,
};

/** Larger than arrays are, or than numbers that are not exact can hold. */
export const beyondMeasure = [
  (1n << 53n) + 1n,
  1n << 62n,
  (1n << 63n) - 1n,
  1n << 63n,
  9_999_999_999_999_999_999n,
];

/** How a size may be refused. */
export const refusals: readonly string[] = ["invalid", "no-space", "refused"];

export const sizes: Topic = {
  name: "sizes",
  questions: (subject) => [
    ...Object.entries(asked)
      .filter(([, size]) => size <= subject.largest)
      .map(
        ([title, size]): Question => ({
          title: `${title} asked for is what all say`,
          async ask(t, s) {
            const volname = await s.alloc({ size });
            t.is((await s.info(volname)).size, s.rounded(size));
            t.deepEqual(
              (await s.list()).map((entry) => entry.size),
              [s.rounded(size)],
            );
            t.is(await sizeOf(await s.map(volname)), s.rounded(size));
            await s.fill(volname, title);
            await s.shows(t, volname, title);
          },
        }),
      ),
    {
      title: "rounding stays below what a restore of a backup tolerates",
      async ask(t) {
        t.true(subject.sizeUnit >= 1n && subject.sizeUnit <= 4n * MiB);
      },
    },
    {
      title: "are told without activation, by listing and size info alike",
      async ask(t, s) {
        const volumes = [await s.alloc({ size: 3n * MiB }), await s.alloc({ size: 5n * MiB })];
        for (const node of [s, s.at("node-b")]) {
          for (const entry of await node.list()) {
            t.true(volumes.includes(entry.volname));
            t.deepEqual(await node.info(entry.volname), entry);
            t.is(entry.vmid, 100);
            t.is(entry.format, "raw");
            if (entry.ctime !== undefined) t.true(Math.abs(entry.ctime - Date.now() / 1000) < 3600);
          }
        }
      },
    },
    {
      title: "beyond all measure are refused, or kept to the byte",
      async ask(t, s) {
        for (const size of beyondMeasure) {
          const before = await s.place.inventory();
          let volname: string;
          try {
            volname = await s.alloc({ size });
          } catch (error) {
            const { code } = error as { code?: string };
            t.true(refusals.includes(code ?? ""), `${size}: ${error}`);
            t.deepEqual(await s.place.inventory(), before, `${size}: the refused call left something`);
            continue;
          }
          t.is((await s.info(volname)).size, s.rounded(size));
          await s.free(volname);
        }
      },
    },
    {
      title: "that are not written as decimal numbers are invalid",
      async ask(t, s) {
        const volname = await s.alloc();
        const wrong = [
          "",
          "-1",
          "1.5",
          "1e6",
          "0x100000",
          " 1048576",
          "1048576\n",
          "01048576",
          "1M",
          1048576,
        ];
        for (const size of [...wrong, null, {}, ["1048576"], true, "1".repeat(40)]) {
          for (const [method, args] of Object.entries({
            alloc_image: { vmid: 100, format: "raw", name: null },
            volume_resize: { volname },
            volume_import: { volname, format: "raw+size", allowRename: true },
          })) {
            const result = await s.call(method, { ...args, size }).then(
              () => "succeeded",
              (error: { code?: string }) => error.code,
            );
            t.is(result, "invalid", `${method} with size ${JSON.stringify(size)}`);
          }
        }
        t.deepEqual(await s.names(), [volname]);
      },
    },
  ],
};
