// SPDX-License-Identifier: AGPL-3.0-or-later
export type { JournalEntry } from "../common/journal.js";
export type { ListenerState } from "../common/listener.js";
export type { Behaviour, BehaviourChange } from "./behaviour.js";
export { behaviourSchema } from "./behaviour.js";
export type { Device } from "./devices.js";
export type { FaultKind, FaultOrder, FaultPlan } from "./faults.js";
export { faultPlanSchema } from "./faults.js";
export type { Expected } from "./invariants.js";
export type { GroupOption, NodeOption, PoolOption, SimulatorOptions, WatchedExchange } from "./options.js";
export { LinstorSimulator } from "./simulator.js";
export type { Definition, Resource, SnapshotDefinition } from "./state.js";
export { layerKinds, poolKinds } from "./state.js";
