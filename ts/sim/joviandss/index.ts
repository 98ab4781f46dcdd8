// SPDX-License-Identifier: AGPL-3.0-or-later
export type { JournalEntry } from "../common/journal.js";
export type { Behaviour, BehaviourChange } from "./behaviour.js";
export { behaviourSchema } from "./behaviour.js";
export type { DoorState } from "./doors.js";
export type { ExportedLun, ExportedTarget, TargetExporter } from "./exports.js";
export { ExportCommand } from "./exports.js";
export type { FaultKind, FaultOrder, FaultPlan } from "./faults.js";
export { faultPlanSchema } from "./faults.js";
export type { Wanted } from "./initiators.js";
export { Initiator, InitiatorError, wantedSchema } from "./initiators.js";
export type { Expected } from "./invariants.js";
export type { Login } from "./logins.js";
export type { PoolOption, SimulatorOptions } from "./options.js";
export { JovianSimulator } from "./simulator.js";
export type { Session, Snapshot, Target, Volume } from "./state.js";
