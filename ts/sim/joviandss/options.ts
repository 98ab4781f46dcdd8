// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Identity } from "../common/certificate.js";
import type { BehaviourChange } from "./behaviour.js";
import type { TargetExporter } from "./exports.js";
import type { FaultPlan } from "./faults.js";

/** A pool of the simulated array. */
export interface PoolOption {
  readonly name: string;
  /** Bytes; 1 TiB when absent. */
  readonly size?: number;
}

/** How a simulator starts. Everything has a default. */
export interface SimulatorOptions {
  /** Control addresses; `127.0.0.1` and `127.0.0.2` when absent. */
  readonly addresses?: readonly string[];
  /** Port of all of them; a free one when absent or 0. */
  readonly port?: number;
  /** `admin` when absent. */
  readonly user?: string;
  readonly password?: string;
  /** `Pool-0` when absent. */
  readonly pools?: readonly (string | PoolOption)[];
  /** Addresses for data, named `vip0`, `vip1` and so on; the control addresses when absent. */
  readonly vips?: readonly string[];
  /** Port of the iSCSI portals, for the exporter; 3260 when absent. */
  readonly dataPort?: number;
  /** A certificate; one signed by itself is made when absent. */
  readonly identity?: Identity;
  /** Directory of the data files; without it there are only records of objects. */
  readonly data?: string;
  /** Makes the targets real. */
  readonly exporter?: TargetExporter;
  readonly behaviour?: BehaviourChange;
  readonly faults?: FaultPlan;
  /** Of the random numbers of faults and identities; 1 when absent. */
  readonly seed?: number;
  /** Answers requests below `/sim/`. */
  readonly control?: boolean;
  /** Milliseconds since 1970; the real time when absent. */
  readonly now?: () => number;
}
