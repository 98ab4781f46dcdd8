// SPDX-License-Identifier: AGPL-3.0-or-later
import type { BehaviourChange } from "./behaviour.js";
import type { FaultPlan } from "./faults.js";

/** A template of the simulated cluster. */
export interface TemplateOption {
  readonly name: string;
  /** Bytes; 1 TiB when absent. */
  readonly capacity?: number;
}

/** A client of the simulated cluster, which is up. */
export interface ClientOption {
  /** 1 to 4095. */
  readonly id: number;
  /** Folder of the node below the devices directory; the id when absent. */
  readonly dir?: string;
}

/** How a simulator starts. Everything has a default. */
export interface SimulatorOptions {
  /** Address to listen at; `127.0.0.1` when absent. */
  readonly host?: string;
  /** Port; a free one when absent or 0. */
  readonly port?: number;
  readonly token?: string;
  /** First two groups of every global id; `nzkr.b` when absent. */
  readonly clusterId?: string;
  /** `nvme` when absent. */
  readonly templates?: readonly (string | TemplateOption)[];
  /** 11 and 12 when absent. */
  readonly clients?: readonly (number | ClientOption)[];
  /** Directory of the data files; without it there are only records of objects. */
  readonly data?: string;
  /** Directory of the device links; needs `data` and root. */
  readonly devices?: string;
  /** Adds objects that are not the driver's; see `addForeign`. */
  readonly foreign?: { readonly loc: string; readonly storage: string };
  readonly behaviour?: BehaviourChange;
  readonly faults?: FaultPlan;
  /** Of the faults' random numbers; 1 when absent. */
  readonly seed?: number;
  /** Answers requests below `/sim/`. */
  readonly control?: boolean;
  /** Seconds since 1970; the real time when absent. */
  readonly now?: () => number;
}
