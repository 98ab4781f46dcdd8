// SPDX-License-Identifier: AGPL-3.0-or-later
// What is compared with what. `$SOURCE`, `$TARGET` and `$OURS` are set for each pipeline; `measured NAME` wraps a
// process so that its memory is known.

/** dd as PVE calls it is "default"; block sizes that suit dd better are "fair". */
export const cases = [
  {
    name: "export-dense",
    title: "Export of a dense image into `cat >/dev/null`",
    image: "dense",
    pipelines: [
      {
        name: "ours",
        command: 'measured export $OURS export --device "$SOURCE" --no-progress | cat >/dev/null',
      },
      {
        name: "dd bs=4k (default)",
        command: 'measured dd dd if="$SOURCE" bs=4k 2>/dev/null | cat >/dev/null',
        goal: 5,
      },
      {
        name: "dd bs=64k (fair)",
        command: 'measured dd dd if="$SOURCE" bs=64k 2>/dev/null | cat >/dev/null',
      },
      { name: "dd bs=1M (fair)", command: 'measured dd dd if="$SOURCE" bs=1M 2>/dev/null | cat >/dev/null' },
      { name: "cat (fair)", command: 'measured cat cat "$SOURCE" | cat >/dev/null', goal: 1.3 },
    ],
    check: '$OURS export --device "$SOURCE" --no-progress | tail -c +9 | sha256sum',
  },
  copy("copy-sparse", "Export into import, sparse image", "sparse", { "4k": 5, "64k": 2 }),
  copy("copy-dense", "Export into import, dense image", "dense", { "4k": 1.2, "64k": 1.2 }),
  copy("copy-small", "Export into import, small image: mostly process starts", "small", {}),
];

function copy(name, title, image, goals) {
  const dd = (bs, label) => ({
    name: `dd bs=${bs} into dd conv=sparse bs=64k (${label})`,
    command:
      `measured export dd if="$SOURCE" bs=${bs} 2>/dev/null | ` +
      'measured import dd of="$TARGET" conv=sparse bs=64k 2>/dev/null',
    goal: goals[bs],
    writes: true,
  });
  return {
    name,
    title,
    image,
    pipelines: [
      {
        name: "ours",
        command:
          'measured export $OURS export --device "$SOURCE" --no-progress | ' +
          'measured import $OURS import --device "$TARGET" --no-progress >/dev/null',
        writes: true,
      },
      dd("4k", "default"),
      dd("64k", "fair"),
      dd("1M", "fair"),
    ],
  };
}
