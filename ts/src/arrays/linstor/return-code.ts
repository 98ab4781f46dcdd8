// SPDX-License-Identifier: AGPL-3.0-or-later

/** A return code taken apart: LINSTOR's are 64-bit fields of severity, operation, object and code. */
export interface ReturnCode {
  readonly severity: "error" | "warning" | "info" | "success";
  readonly operation: "create" | "modify" | "delete" | undefined;
  /** What went wrong or was done, see {@link codes}. */
  readonly code: number;
}

/** The codes that decisions are made by. */
export const codes = {
  volumeSize: 206,
  property: 213,
  provider: 227,
  nodeAbsent: 300,
  definitionAbsent: 301,
  resourceAbsent: 302,
  volumeAbsent: 303,
  poolAbsent: 310,
  snapshotDefinitionAbsent: 313,
  snapshotAbsent: 315,
  groupAbsent: 317,
  definitionExists: 501,
  resourceExists: 502,
  volumeExists: 503,
  groupExists: 522,
  snapshotDefinitionExists: 514,
  snapshotExists: 516,
  shipping: 525,
  rollingBack: 971,
  notUpToDate: 974,
  dependentSnapshot: 977,
  noSpace: 980,
  layerUnsupported: 988,
  providerUnsupported: 989,
  tooFewReplicas: 991,
  busy: 992,
  snapshotsUnsupported: 994,
  notConnected: 995,
  tooFewNodes: 996,
  inUse: 997,
  absent: 3000,
} as const;

const severities = ["success", "info", "warning", "error"] as const;
const operations = [undefined, "create", "modify", "delete"] as const;

/** Takes a code apart, in decimal digits as it came. */
export function parseReturnCode(digits: string): ReturnCode {
  const bits = BigInt.asUintN(64, BigInt(digits));
  return {
    severity: severities[Number(bits >> 62n)] ?? "error",
    operation: operations[Number((bits >> 24n) & 3n)],
    code: Number(bits & 0x7fffn),
  };
}

/**
 * Parses a reply. Return codes stay strings: as numbers they would lose the very bits that tell what happened. A key cannot
 * be mistaken for text, in which quotes are escaped.
 */
export function parseReply(text: string): unknown {
  return JSON.parse(text.replaceAll(/"ret_code"(\s*):(\s*)(-?[0-9]+)/g, '"ret_code"$1:$2"$3"'));
}
