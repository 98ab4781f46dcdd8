// SPDX-License-Identifier: AGPL-3.0-or-later

/** Bits of a return code that say what was done. */
export const operations = {
  none: 0n,
  create: 0x1_000000n,
  modify: 0x2_000000n,
  delete: 0x3_000000n,
} as const;

/** Bits that say what it was done to. */
export const objects = {
  none: 0n,
  "resource group": 0x44_0000n,
  node: 0x3c_0000n,
  "resource definition": 0x38_0000n,
  resource: 0x34_0000n,
  "volume definition": 0x30_0000n,
  volume: 0x2c_0000n,
  "resource connection": 0x24_0000n,
  "storage pool": 0x14_0000n,
  snapshot: 0x0c_0000n,
} as const;

export type Operation = keyof typeof operations;
export type ObjectKind = keyof typeof objects;

/**
 * Codes that the simulator uses. Success below 100, errors to 999, warnings to 9999, information from 10000, as the
 * service numbers them.
 */
export const codes = {
  created: 1,
  deleted: 2,
  modified: 3,
  invalidNodeName: 200,
  invalidResourceName: 202,
  invalidVolumeNumber: 205,
  invalidVolumeSize: 206,
  invalidProperty: 213,
  invalidSnapshotName: 218,
  invalidPlaceCount: 219,
  invalidLayerStack: 225,
  invalidExternalName: 226,
  invalidProvider: 227,
  invalidVolumeSizes: 228,
  invalidGroupName: 237,
  invalidResourceState: 243,
  noNode: 300,
  noDefinition: 301,
  noResource: 302,
  noVolumeDefinition: 303,
  noPool: 310,
  noSnapshotDefinition: 313,
  noSnapshot: 315,
  noGroup: 317,
  commandDenied: 412,
  definitionExists: 501,
  resourceExists: 502,
  volumeDefinitionExists: 503,
  snapshotExists: 514,
  externalNameExists: 517,
  groupExists: 522,
  snapshotShipping: 525,
  rollbackInProgress: 971,
  notAllUpToDate: 974,
  dependentSnapshot: 977,
  snapshotNotUpToDate: 979,
  notEnoughFreeSpace: 980,
  layerUnsupported: 988,
  insufficientReplicas: 991,
  busy: 992,
  snapshotsUnsupported: 994,
  notConnected: 995,
  notEnoughNodes: 996,
  inUse: 997,
  unknownError: 998,
  implementationError: 999,
  warnNotConnected: 1002,
  warnAlreadyDeployed: 1006,
  warnAlreadyHasDisk: 1007,
  warnAlreadyDiskless: 1008,
  warnNotEnoughNodesForTieBreaker: 1013,
  warnSameSize: 1023,
  warnNotFound: 3000,
  infoNotSpawned: 10_000,
  infoPropertySet: 10_002,
  infoTieBreakerCreated: 10_003,
  infoTieBreakerDeleting: 10_004,
  infoTieBreakerTakeover: 10_006,
} as const;

export type CodeName = keyof typeof codes;

const error = 0xc000_0000_0000_0000n;
const warning = 0x8000_0000_0000_0000n;
const info = 0x4000_0000_0000_0000n;
const codeBits = 0x7fffn;

/** Codes outside of the numbering. */
export const special = {
  parseError: BigInt.asIntN(64, error | 0x0fff_ffff_ffff_fffdn),
  missingCredentials: BigInt.asIntN(64, error | 10_001n),
  signIn: BigInt.asIntN(64, error | 10_000n),
} as const;

/** The signed 64-bit number of a reply: severity, operation, object and code. */
export function returnCode(name: CodeName, operation: Operation, object: ObjectKind): bigint {
  const code = codes[name];
  const severity = code < 100 ? 0n : code < 1000 ? error : code < 10_000 ? warning : info;
  return BigInt.asIntN(64, severity | operations[operation] | objects[object] | BigInt(code));
}

/** Success or information without a code of its own. */
export function plainCode(severity: "success" | "info", operation: Operation, object: ObjectKind): bigint {
  const bits = severity === "info" ? info : 0n;
  return BigInt.asIntN(64, bits | operations[operation] | objects[object]);
}

export function isError(code: bigint): boolean {
  return (BigInt.asUintN(64, code) & error) === error;
}

/** The HTTP status of an error. */
export function statusOf(code: bigint): number {
  if (code === special.parseError) return 400;
  if (code === special.missingCredentials) return 401;
  if (code === special.signIn) return 403;
  const number = BigInt.asUintN(64, code) & codeBits;
  if (number >= 300n && number < 400n) return 404;
  return number >= 400n && number < 500n ? 403 : 500;
}

const names = new Map<number, string>(Object.entries(codes).map(([name, code]) => [code, name]));

/** What the journal calls a code. */
export function codeName(code: bigint): string {
  for (const [name, value] of Object.entries(special)) if (value === code) return name;
  const number = Number(BigInt.asUintN(64, code) & codeBits);
  return names.get(number) ?? String(number);
}
