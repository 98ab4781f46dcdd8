// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { arrayError, errorIn } from "../../../src/arrays/joviandss/answer.js";

const resource = "zfslib.zfsapi.resources.ZfsResourceError";
const command = "zfslib.wrap.zfs.ZfsCmdError";
const missing = "opene.exceptions.ItemNotFoundError";
const conflict = "opene.exceptions.ItemConflictError";

/** Status, class, message, errno, then code, condition and subject. */
type Row = readonly [number, string, string, number | string | undefined, string, string, string?];
const catalogue: readonly Row[] = [
  [500, resource, "Zfs resource: Pool-0/v_a not found in this collection.", 1, "absent", "absent", "volume"],
  [
    500,
    resource,
    "Zfs resource: Pool-0/v_a@s_1 not found in this collection.",
    "1",
    "absent",
    "absent",
    "snapshot",
  ],
  [404, missing, "Resource Pool-0/v_a not found.", undefined, "absent", "absent", "volume"],
  [500, missing, "Resource Pool-0/v_a@s_1 not found.", undefined, "absent", "absent", "snapshot"],
  [404, missing, "Volume v_a not found in pool Pool-0.", undefined, "absent", "absent", "volume"],
  [500, command, "cannot open 'Pool-0/v_a@s_1': dataset does not exist", 0, "absent", "absent", "snapshot"],
  [500, command, "cannot open 'Pool-0': dataset does not exist", 0, "unreachable", "pool-missing", "pool"],
  [404, missing, "Pool Pool-0 not found.", undefined, "unreachable", "pool-missing", "pool"],
  [404, missing, "", undefined, "unreachable", "unclear"],
  [404, missing, "nowhere to be seen", undefined, "unreachable", "unclear"],
  [500, resource, "", 1, "unreachable", "unclear"],
  [404, missing, "Target iqn.x:vm-1-0 not exists.", undefined, "absent", "absent", "target"],
  [
    404,
    missing,
    "volume name v_a is not attached to target iqn.x:vm-1-0",
    undefined,
    "absent",
    "absent",
    "lun",
  ],
  [404, missing, "User chap not exists.", undefined, "absent", "absent", "user"],
  [404, "werkzeug.exceptions.NotFound", "Share a b not exists.", undefined, "absent", "absent", "share"],
  [404, "werkzeug.exceptions.NotFound", "404: Not Found", undefined, "refused", "unknown"],
  [500, resource, "Resource v_a already exists.", 5, "exists", "exists", "volume"],
  [500, resource, "Resource Pool-0/v_a@s_1 already exists.", "5", "exists", "exists", "snapshot"],
  [500, command, "cannot create 'Pool-0/v_a': dataset already exists\n", 100, "exists", "exists", "volume"],
  [
    409,
    "opene.san.target.base.iscsi.TargetNameConflictError",
    "Target with name iqn.x is already present on Pool-0.",
    undefined,
    "exists",
    "exists",
    "target",
  ],
  [
    409,
    "opene.san.target.base.iscsi.target.TargetNameConflictError",
    "",
    undefined,
    "exists",
    "exists",
    "target",
  ],
  [409, conflict, "Volume /dev/Pool-0/v_a is already used.", undefined, "busy", "attached", "volume"],
  [409, conflict, "LUN 3 is already used in iqn.x.", undefined, "exists", "lun-taken", "lun"],
  [409, "", "Share a already exists.", 1, "exists", "exists", "share"],
  [
    500,
    command,
    "cannot destroy 'Pool-0/v_a': volume has children\nuse '-r' to destroy the following datasets:\nPool-0/v_a@s_1",
    1000,
    "refused",
    "has-snapshots",
    "volume",
  ],
  [
    500,
    "opene.storage.zfs.zfs.ZfsOeError",
    "In order to delete a zvol, you must delete all of its clones first.",
    undefined,
    "busy",
    "has-clones",
    "volume",
  ],
  [
    500,
    command,
    "cannot destroy 'Pool-0/v_a@s_1': snapshot has dependent clones\nuse '-R' to destroy the following datasets",
    1000,
    "busy",
    "has-clones",
    "snapshot",
  ],
  [500, "", "New zvol size(2) exceeds available space on pool Pool-0(1).", undefined, "no-space", "no-space"],
  [500, command, "cannot destroy 'Pool-0/v_a': dataset is busy", 1000, "busy", "busy", "volume"],
  [500, "opene.cfgparser.CfgParserError", "anything", 13, "refused", "config-clash"],
  [500, "opene.tools.scstadmin.ScstAdminError", "anything", 4, "refused", "scst"],
  [500, "exceptions.OSError", "anything", 16, "refused", "os"],
  [
    400,
    "x.ValidationError",
    "Password is allowed to contain from 12 to 255 characters",
    undefined,
    "invalid",
    "invalid",
  ],
  [
    400,
    "",
    "Additional properties are not allowed ('vip_allowed_portals' was unexpected)",
    undefined,
    "unsupported",
    "outdated",
  ],
  [401, "", "", undefined, "auth", "auth"],
  [500, "", "", undefined, "refused", "unknown"],
];

for (const [status, name, message, errno, code, condition, subject] of catalogue) {
  test(`${status} ${name || "no class"} '${message.split("\n")[0]}' is ${condition}`, (t) => {
    const answer = errorIn(status, { data: null, error: { class: name, message, errno } });
    if (!answer) return t.fail();
    const error = arrayError("look up volume 'v_a'", answer);
    t.is(error.code, code as never);
    t.is(error.condition, condition as never);
    t.is(error.subject, subject as never);
    t.regex(error.message, /^look up volume 'v_a': JovianDSS says: [^\n]+; [^\n]+$/);
  });
}

test("an error may lack any member, or be no object", (t) => {
  t.deepEqual(
    { errno: undefined, ...errorIn(500, { data: null, error: {} }) },
    {
      status: 500,
      class: "",
      message: "",
      errno: undefined,
    },
  );
  t.like(errorIn(500, { error: { errno: "5", message: null } }), { errno: 5, message: "" });
  t.like(errorIn(500, { error: "broken" }), { message: "broken" });
  for (const body of [undefined, null, "text", {}, { data: 1, error: null }])
    t.is(errorIn(200, body), undefined);
});
