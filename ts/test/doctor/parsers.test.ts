// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { parseMultipathConf, settingOf } from "../../src/doctor/multipath-conf.js";

test("multipath.conf: sections, quotes, comments, brackets on a line", (t) => {
  const blocks = parseMultipathConf(
    [
      "# find_multipaths greedy",
      "defaults {",
      '\tfind_multipaths "strict" # not greedy',
      '\tuid_attrs "sd:ID_SERIAL nvme:ID_WWN"',
      "}",
      "! a comment too",
      "devices { device { vendor X",
      "no_path_retry fail } }",
      "}",
      "overrides { user_friendly_names no }",
    ].join("\n"),
  );
  t.deepEqual(
    blocks.map(({ name }) => name),
    ["defaults", "devices", "overrides"],
  );
  t.is(settingOf(blocks, "find_multipaths")?.value, "strict");
  t.is(settingOf(blocks, "uid_attrs")?.value, "sd:ID_SERIAL nvme:ID_WWN");
  t.is(settingOf(blocks, "user_friendly_names")?.value, "no");
  t.deepEqual(blocks[1]?.blocks[0]?.entries, [
    ["vendor", "X"],
    ["no_path_retry", "fail"],
  ]);
});

test("multipath.conf that makes no sense is passed over", (t) => {
  for (const text of ["", "}", "{", "}}}{{{", '"', "defaults", "defaults {", "a b c\n}\nd"])
    t.notThrows(() => parseMultipathConf(text));
  t.is(settingOf(parseMultipathConf("defaults {\nfind_multipaths\n"), "find_multipaths")?.value, "");
});
