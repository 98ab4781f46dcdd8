// SPDX-License-Identifier: AGPL-3.0-or-later
import { directorySubject } from "./directory.js";

const xfs = { type: "xfs", mkfs: ["mkfs.xfs", "-q", "-m", "reflink=1"] };

/** Type `blockio` on XFS with reflinks. */
export const subject = directorySubject({
  name: "blockio on XFS",
  fileSystem: { ...xfs, bytes: 2 ** 31 },
  small: { ...xfs, bytes: 512 << 20 },
});
