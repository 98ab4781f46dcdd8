// SPDX-License-Identifier: AGPL-3.0-or-later
import type { StorageType } from "./contract.js";

/** What PVE is told of arrays whose volumes are block devices with snapshots and linked clones. */
export const blockVolumes = {
  formats: { allowed: ["raw"], default: "raw" },
  features: {
    snapshot: { current: ["raw"] },
    clone: { base: ["raw"], snap: ["raw"] },
    template: { current: ["raw"] },
    copy: { base: ["raw"], current: ["raw"], snap: ["raw"] },
    sparseinit: { base: ["raw"], current: ["raw"] },
    rename: { current: ["raw"] },
  },
  featureRequires: {},
  streams: { raw: { "raw+size": "service" } },
  blockdev: { driver: "host_device" },
  needsFsfreeze: true,
  needsDeactivation: true,
} as const satisfies Partial<StorageType>;
