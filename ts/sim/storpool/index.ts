// SPDX-License-Identifier: AGPL-3.0-or-later
export type { JournalEntry } from "../common/journal.js";
export type { Behaviour, BehaviourChange } from "./behaviour.js";
export { behaviourSchema } from "./behaviour.js";
export type { FaultKind, FaultOrder, FaultPlan } from "./faults.js";
export { faultPlanSchema } from "./faults.js";
export type { Expected } from "./invariants.js";
export type { ClientOption, SimulatorOptions, TemplateOption } from "./options.js";
export { StorPoolSimulator } from "./simulator.js";
export type { StoredObject } from "./state.js";
