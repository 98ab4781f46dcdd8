// SPDX-License-Identifier: AGPL-3.0-or-later

/** What an error of the array means. `unclear`: something is missing, but it does not say what. */
export type Condition =
  | "absent"
  | "pool-missing"
  | "unclear"
  | "exists"
  | "lun-taken"
  | "attached"
  | "busy"
  | "has-clones"
  | "has-snapshots"
  | "no-space"
  | "config-clash"
  | "scst"
  | "os"
  | "invalid"
  | "outdated"
  | "auth"
  | "unknown";

/** What an error is about. */
export type Subject = "volume" | "snapshot" | "target" | "lun" | "user" | "share" | "pool";

export interface Meaning {
  readonly condition: Condition;
  readonly subject: Subject | undefined;
}

interface Said {
  readonly status: number;
  readonly class: string;
  readonly message: string;
  readonly errno?: number | undefined;
}

type Rule = readonly [(said: Said) => boolean, Condition, Subject?];

const text =
  (pattern: RegExp) =>
  ({ message }: Said) =>
    pattern.test(message);
const named =
  (pattern: RegExp) =>
  ({ class: name }: Said) =>
    pattern.test(name);

/**
 * One condition has several spellings, by release. Class and text decide, `errno` (which means something else at each
 * request) only where they are missing, and the HTTP status last: 500 and 409 cover nearly everything.
 */
const rules: readonly Rule[] = [
  [({ status }) => status === 401 || status === 403, "auth"],
  [named(/\bCfgParserError$/), "config-clash"],
  [named(/\bScstAdminError$/), "scst"],
  [text(/^Additional properties are not allowed \('/), "outdated"],
  // A snapshot's name has an @ in it.
  [text(/^Zfs resource: \S+@\S+ not found in this collection\.?\s*$/), "absent", "snapshot"],
  [text(/^Zfs resource: \S+\/\S+ not found in this collection\.?\s*$/), "absent", "volume"],
  [text(/^Resource \S+@\S+ not found\.?\s*$/), "absent", "snapshot"],
  [text(/^Resource [^\s/]+\/\S+ not found\.?\s*$/), "absent", "volume"],
  [text(/^Volume \S+ not found in pool \S+\s*$/), "absent", "volume"],
  [text(/^Snapshot \S+ not found\b/), "absent", "snapshot"],
  [text(/^cannot open '[^'@]+@[^']+': dataset does not exist\s*$/), "absent", "snapshot"],
  [text(/^cannot open '[^'/]+\/[^']+': dataset does not exist\s*$/), "absent", "volume"],
  [text(/^cannot open '[^'/]+': (?:dataset does not exist|no such pool)\s*$/), "pool-missing", "pool"],
  [text(/^(?:Pool|Resource) [^\s/]+ (?:not found|not exists|does not exist)\.?\s*$/), "pool-missing", "pool"],
  [text(/^Target \S+ not exists\.?\s*$/), "absent", "target"],
  [text(/^volume name \S+ is not attached to target \S+\s*$/), "absent", "lun"],
  [text(/^User \S+ not exists\.?\s*$/), "absent", "user"],
  [text(/^(?:Share|Clone) .* not exists\.?\s*$/), "absent", "share"],
  [named(/\bTargetNameConflictError$/), "exists", "target"],
  [text(/^Target with name \S+ is already present on \S+\s*$/), "exists", "target"],
  [text(/^Resource \S+@\S+ already exists\.?\s*$/), "exists", "snapshot"],
  [text(/^Resource .* already exists\.?\s*$/), "exists", "volume"],
  [text(/^cannot create '.*': dataset already exists\s*$/), "exists", "volume"],
  [text(/^Share .* already exists\.?\s*$/), "exists", "share"],
  [text(/^LUN [0-9]+ is already used in \S+\s*$/), "lun-taken", "lun"],
  [text(/^Volume \S+ is already used\.?\s*$/), "attached", "volume"],
  [text(/: volume has children\b/), "has-snapshots", "volume"],
  [
    text(/^In order to delete a zvol, you must delete all of its clones first\.?\s*$/),
    "has-clones",
    "volume",
  ],
  [text(/: snapshot has dependent clones\b/), "has-clones", "snapshot"],
  [text(/: (?:clones of previous|more recent) snapshots\b/), "has-clones", "snapshot"],
  [text(/\bexceeds available space on pool\b/), "no-space"],
  [text(/: (?:dataset|target|pool|volume) is busy\b/), "busy", "volume"],
  [named(/\bOSError$/), "os"],
  [({ status, class: name }) => status === 400 || /\bValidationError$/.test(name), "invalid"],
  // Without a text that names the object, a pool that is gone looks the same as a volume.
  [named(/\bItemNotFoundError$/), "unclear"],
  [
    ({ class: name, message, errno }) => /\bZfsResourceError$/.test(name) && message === "" && errno === 1,
    "unclear",
  ],
  [
    ({ class: name, message, errno }) => /\bZfsResourceError$/.test(name) && message === "" && errno === 5,
    "exists",
  ],
];

/** What an error means. */
export function findRule(said: Said): Meaning {
  const [, condition = "unknown", subject] = rules.find(([applies]) => applies(said)) ?? [];
  return { condition, subject };
}
