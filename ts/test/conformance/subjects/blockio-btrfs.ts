// SPDX-License-Identifier: AGPL-3.0-or-later
import { directorySubject } from "./directory.js";

/** Type `blockio` on Btrfs. */
export const subject = directorySubject({
  name: "blockio on Btrfs",
  fileSystem: { type: "btrfs", mkfs: ["mkfs.btrfs", "-q"], bytes: 2 ** 31 },
  // Data and metadata share their space, else a file system this small has none for either.
  small: { type: "btrfs", mkfs: ["mkfs.btrfs", "-q", "--mixed"], bytes: 96 << 20 },
});
