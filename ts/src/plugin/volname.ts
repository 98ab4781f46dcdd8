// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Format, StorageType, VolumeRef, VolumeType } from "../arrays/contract.js";
import { fail } from "../common/errors.js";

/** Parses and builds the volume names of one storage type, by the rules that the manifest carries to Perl too. */
export class VolumeNames {
  readonly #rules: { regex: RegExp; vtype: VolumeType; isBase: boolean; format: Format | "{format}" }[];

  constructor(readonly type: StorageType) {
    this.#rules = type.volnames.rules.map((rule) => ({
      regex: new RegExp(rule.pattern, "u"),
      vtype: rule.vtype,
      isBase: rule.isBase,
      format: rule.format,
    }));
  }

  /** Throws `invalid` for what is not the name of a disk of this type. */
  parse(volname: string): VolumeRef {
    for (const rule of this.#rules) {
      const groups = rule.regex.exec(volname)?.groups;
      const vmid = groups?.["vmid"];
      const name = groups?.["name"];
      if (groups === undefined || name === undefined) continue;
      const format = rule.format === "{format}" ? (groups["format"] as Format) : rule.format;
      const base =
        groups["basename"] === undefined
          ? {}
          : { base: { vmid: Number(groups["basevmid"]), name: groups["basename"] } };
      const { vtype, isBase } = rule;
      return { volname, vmid: Number(vmid ?? 0), name, vtype, format, isBase, ...base };
    }
    throw fail("invalid", `'${volname}' is not a volume name of storage type '${this.type.type}'`);
  }

  /** The reference of a volume `name` of guest `vmid`; throws `invalid` when the grammar forbids it. */
  compose(vmid: number, name: string, base?: { vmid: number; name: string }): VolumeRef {
    return this.parse(this.type.naming.volname(vmid, name, base));
  }
}
