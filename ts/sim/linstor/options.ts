// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Identity } from "../common/certificate.js";
import type { BehaviourChange } from "./behaviour.js";
import type { FaultPlan } from "./faults.js";
import type { LayerKind, PoolKind, Properties } from "./state.js";

/** A node with a satellite. */
export interface NodeOption {
  readonly name: string;
  /** Folder of the node below the devices directory; the name when absent. */
  readonly dir?: string;
  /** What its satellite can; DRBD, LUKS, NVME and STORAGE when absent. */
  readonly layers?: readonly LayerKind[];
  readonly props?: Properties;
}

/** A storage pool, on some nodes or all. */
export interface PoolOption {
  readonly name: string;
  /** `LVM_THIN` when absent. */
  readonly kind?: PoolKind;
  /** Bytes on each node; 1 TiB when absent. */
  readonly capacity?: number;
  /** Names of nodes; all when absent. */
  readonly nodes?: readonly string[];
}

/** A resource group. */
export interface GroupOption {
  readonly name: string;
  /** No place count when null; 2 when absent. */
  readonly placeCount?: number | null;
  /** Names of pools; any pool when absent. */
  readonly pools?: readonly string[];
  readonly layers?: readonly LayerKind[];
  /** Number of volume groups; 1 when absent. */
  readonly volumeGroups?: number;
  readonly props?: Properties;
}

/** A request and its answer. */
export interface WatchedExchange {
  readonly verb: string;
  /** With the query, without host. */
  readonly url: string;
  /** Undefined for none. */
  readonly body: unknown;
  readonly status: number;
  readonly text: string;
}

/** How a simulator starts. Everything has a default. */
export interface SimulatorOptions {
  /** Addresses of the controllers, of which the first is active; `127.0.0.1` when absent. */
  readonly controllers?: readonly string[];
  /** Port without TLS, of all addresses; a free one when absent or 0. Null: only TLS. */
  readonly port?: number | null;
  /** Port with TLS; none when absent, a free one when 0. */
  readonly tlsPort?: number;
  /** Key and certificate; self-signed when absent. */
  readonly identity?: Identity;
  /** Every request but `/health` must have it, when it is there. */
  readonly token?: string;
  /** Every request must be one of these users', when they are there. */
  readonly users?: Readonly<Record<string, string>>;
  /** `pve1` to `pve3` when absent. */
  readonly nodes?: readonly (string | NodeOption)[];
  /** `ssd` when absent. */
  readonly pools?: readonly (string | PoolOption)[];
  /** `rg1` when absent; `DfltRscGrp` is always there. */
  readonly groups?: readonly (string | GroupOption)[];
  /** Directory of the data files; without it there are only records. */
  readonly data?: string;
  /** Directory of the nodes' devices; needs `data` and root. */
  readonly devices?: string;
  /** Adds volumes that are not the driver's beside those of this group; see `addForeign`. */
  readonly foreign?: string;
  readonly behaviour?: BehaviourChange;
  readonly faults?: FaultPlan;
  /** Of the faults' random numbers; 1 when absent. */
  readonly seed?: number;
  /** Is told of every exchange, to check it against a description of the API for example. */
  readonly watch?: (exchange: WatchedExchange) => void;
  /** Answers requests below `/sim/`. */
  readonly control?: boolean;
  /** Milliseconds since 1970; the real time when absent. */
  readonly now?: () => number;
}
