// SPDX-License-Identifier: AGPL-3.0-or-later
import type { DataFiles } from "../common/files.js";
import type { Behaviour } from "./behaviour.js";
import type { Devices } from "./devices.js";
import type { Replies } from "./replies.js";
import type { Definition, Openness, Resource, SatelliteNode, State } from "./state.js";

/** What the requests work on. */
export interface World {
  readonly state: State;
  /** Replaced as a whole when a switch is changed. */
  readonly behaviour: Behaviour;
  /** Undefined when there are only records. */
  readonly files: DataFiles | undefined;
  readonly devices: Devices;
  /** Milliseconds since 1970. */
  now(): number;
  uuid(): string;
  /** A number for data, never used before. */
  dataNumber(): number;
  /** Copies data, and keeps the copy until it is released although nothing has it. */
  hold(data: number | undefined, kib: number): Promise<number | undefined>;
  release(data: number | undefined): void;
  minor(): number;
  port(): number;
  /** A suffix for a name that the service chooses. */
  suffix(length: number): string;
  /** How a resource's devices are open, on its node. */
  openness(resource: Resource): Openness;
  /** Runs one mutation while no other runs. */
  change<T>(body: () => Promise<T>): Promise<T>;
  /** Does something later, as the service does in the background. */
  later(ms: number, body: () => Promise<void>): void;
  /** Takes time, as the satellites do. */
  pause(ms: number): Promise<void>;
  /** Makes devices match, removes data that nothing needs. */
  settle(): Promise<void>;
  /** Has somebody ordered that a part of this request fails? */
  readonly orders: {
    take(what: HalfwayFailure, of: { node?: SatelliteNode; definition?: Definition }): boolean;
  };
}

/** What can fail at a satellite after the controller has begun. */
export type HalfwayFailure = "deploy-fails" | "snapshot-fails" | "rollback-fails" | "clone-node-lost";

/** A request whose body was checked. */
export interface Ask<Body = unknown> {
  /** Names in the path. */
  readonly at: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly body: Body;
}

/** Looks only, and answers with data. */
export type Query = (world: World, ask: Ask) => unknown;

/** A mutation: says what it does. Data, if there is some, is sent instead of what was said. */
export type Command<Body = unknown> = (world: World, ask: Ask<Body>, out: Replies) => Promise<unknown>;
