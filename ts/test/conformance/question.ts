// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ExecutionContext } from "ava";
import type { Capabilities } from "../../src/arrays/contract.js";
import type { Session } from "./session.js";
import type { Hook, Subject } from "./subject.js";

export type Capability = keyof Capabilities;

/** One question to a driver. Its title states what must hold. */
export interface Question {
  readonly title: string;
  /** Without these the driver is asked the opposite: it must refuse. */
  readonly needs?: readonly Capability[];
  readonly hooks?: readonly Hook[];
  ask(t: ExecutionContext, s: Session): Promise<void>;
}

/** A file of questions about one thing. */
export interface Topic {
  readonly name: string;
  questions(subject: Subject): readonly Question[];
}

/** The first capability that a question needs and the subject does not promise. */
export function lacking(question: Question, subject: Subject): Capability | undefined {
  return question.needs?.find((capability) => !subject.capabilities[capability]);
}
