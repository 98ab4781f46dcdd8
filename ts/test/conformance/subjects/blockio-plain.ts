// SPDX-License-Identifier: AGPL-3.0-or-later
import { directorySubject } from "./directory.js";

/** Type `blockio` where the machine keeps its temporary files, whatever file system that is. */
export const subject = directorySubject({
  name: "blockio on the machine's own file system",
  small: { type: "ext4", mkfs: ["mkfs.ext4", "-q", "-F"], bytes: 64 << 20 },
});
