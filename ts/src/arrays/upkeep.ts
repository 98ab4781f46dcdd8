// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../common/context.js";
import type { Finding } from "../common/finding.js";

/** What a storage asks of each node that uses it. */
export interface NodeNeeds {
  /**
   * Origins of the array's API, such as `https://10.0.0.10:82`: each is asked for a sign of life and for its clock, without
   * credentials. Empty for arrays without one.
   */
  readonly api: readonly string[];
  /** Only one of them answers at a time, as it has to be. */
  readonly oneApi?: boolean;
  /** For volumes behind iSCSI targets. */
  readonly iscsi?: {
    /** `address:port`, IPv6 in brackets. */
    readonly portals: readonly string[];
    /** All of them at once, as one multipath map. */
    readonly multipath: boolean;
    /** Vendors of the disks as SCSI has them, for multipath's sections of arrays. */
    readonly vendors: readonly string[];
  };
  /** The disks that volumes are on a node, for LVM, which must not look at what guests have on them. */
  readonly disks?: {
    /** Names as they may be, one of each kind. */
    readonly examples: readonly string[];
    /** The entries of LVM's `global_filter` that reject them. */
    readonly reject: readonly string[];
  };
}

/** Something on the array or on this node that nobody needs any more. */
export interface Leftover {
  /** What it is, in a word: `export`, `target`, `import`, … */
  readonly kind: string;
  /** Tells it apart from others of its kind on this storage. */
  readonly name: string;
  /** The guest that it belonged to; its lock is held for the removal. */
  readonly vmid?: number;
  /** Why it is one, in a line. */
  readonly why: string;
  /** Why it is listed only, and not to be removed by a program. */
  readonly keep?: string;
}

/**
 * What a driver adds to `pve-blockio doctor` and `pve-blockio sweep`. All of it only looks, but
 * {@link Upkeep.removeLeftover}.
 */
export interface Upkeep {
  /** Needs no answer of the array. */
  needs(ctx: Context): Promise<NodeNeeds>;
  /** Checks what only the driver knows: credentials, pool or template, addresses. An error that is thrown is a finding. */
  diagnose(ctx: Context): Promise<Finding[]>;
  /** The guest whose iSCSI target of this very storage that is; undefined for any other target. */
  ownerOfTarget?(iqn: string): number | undefined;
  /** What is left on the array, or in a directory. Only what is provably of this storage; in doubt with `keep`. */
  leftovers?(ctx: Context): Promise<Leftover[]>;
  /** Removes one of them, after another look. @throws `busy`, `refused` when it is in use or no leftover any more */
  removeLeftover?(ctx: Context, leftover: Leftover): Promise<void>;
}
