// SPDX-License-Identifier: AGPL-3.0-or-later

import type { DataFiles } from "../common/files.js";
import type { Behaviour } from "./behaviour.js";
import type { Nodes } from "./nodes.js";
import type { State, StoredObject } from "./state.js";

/** What the requests work on. */
export interface World {
  readonly state: State;
  /** Replaced as a whole when a switch is changed. */
  readonly behaviour: Behaviour;
  /** Data of the objects; undefined in memory. */
  readonly files: DataFiles | undefined;
  readonly nodes: Nodes;
  /** Seconds since 1970. */
  now(): number;
  /** A snapshot was deleted that children still need. */
  deletedWithChildren(snapshot: StoredObject): void;
}

/** What a command answers besides `ok` and `generation`. */
export type Extra = Record<string, unknown>;

/** Effect of a command. `wait` runs after the generation was counted, while other commands may run. */
export interface Effect {
  readonly extra?: Extra;
  wait?(signal: AbortSignal): Promise<void>;
}

/** A query: looks only. */
export type Query = (world: World, argument: string, signal: AbortSignal) => unknown;

/** A command. One runs at a time. */
export type Command = (world: World, argument: string, body: unknown) => Promise<Effect>;
