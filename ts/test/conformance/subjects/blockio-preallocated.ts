// SPDX-License-Identifier: AGPL-3.0-or-later
import { directorySubject } from "./directory.js";

/** Type `blockio` that occupies what it promises: other calls create and grow the files. */
export const subject = directorySubject({
  name: "blockio with preallocation",
  small: { type: "ext4", mkfs: ["mkfs.ext4", "-q", "-F"], bytes: 64 << 20 },
  section: { preallocation: "falloc" },
  largest: 64n << 20n,
});
