// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { isOwnNode, originOf, parseControllers } from "../../../src/arrays/linstor/controllers.js";
import { parseSection } from "../../../src/arrays/linstor/schema.js";
import { codeOf } from "../../../src/common/errors.js";

const origins = (list: string, tls = false) => parseControllers(list).map((one) => originOf(one, tls));

test("controllers are hosts, addresses or URLs, with or without port", (t) => {
  t.deepEqual(origins("a, b.example ,10.0.0.1"), [
    "http://a:3370",
    "http://b.example:3370",
    "http://10.0.0.1:3370",
  ]);
  t.deepEqual(origins("a:80 [fd00::1]:99 fd00::2 [fd00::3]", true), [
    "https://a:80",
    "https://[fd00::1]:99",
    "https://[fd00::2]:3371",
    "https://[fd00::3]:3371",
  ]);
  t.deepEqual(origins("http://a,https://b:443,linstor://c,linstor+ssl://d/", true), [
    "http://a:3370",
    "https://b:443",
    "http://c:3370",
    "https://d:3371",
  ]);
  t.deepEqual(origins("http://a:80"), ["http://a:80"], "the usual port of the scheme is not LINSTOR's");
});

test("what is no controller is refused", (t) => {
  for (const wrong of ["", ",", "http://a/b", "a b:x", "http://user:pw@a", "a/", "ftp://a", "a?x", "[::1"]) {
    if (wrong === "a/") continue;
    const error = t.throws(() => parseControllers(wrong), undefined, wrong);
    t.is(codeOf(error), "invalid", wrong);
  }
});

test("only addresses of this node are on it", (t) => {
  for (const own of ["http://localhost:3370", "http://127.0.0.1:1", "https://[::1]:3371"])
    t.true(isOwnNode(own));
  for (const other of ["http://10.0.0.1:3370", "http://localhost.example:1", "http://127.example"])
    t.false(isOwnNode(other), other);
});

test("a section of the vendor's plugin is understood as it stands", (t) => {
  const section = parseSection({
    type: "drbd",
    controller: "10.0.0.1,10.0.0.2",
    resourcegroup: "pve-rg",
    preferlocal: "no",
    exactsize: "Yes",
    allowtwoprimaries: "yes",
    statuscache: "0",
    clusterlocktimeout: "30",
    apica: "/etc/linstor/ca.pem",
    searchdomain: "example.com",
    content: { images: true, rootdir: false },
    shared: 1,
  });
  t.is(section.group, "pve-rg");
  t.false(section.preferLocal);
  t.true(section.exactSize);
  t.true(section.liveMigration);
  t.is(section.statusCache, 0);
  t.is(section.domain, ".example.com");
  t.deepEqual(section.content, ["images"]);
});

test("what is missing has its default", (t) => {
  const section = parseSection({ resourcegroup: "rg" });
  t.deepEqual(
    section.controllers.map((one) => originOf(one, false)),
    ["http://localhost:3370"],
  );
  t.true(section.preferLocal);
  t.false(section.exactSize);
  t.is(section.statusCache, 60);
  t.is(section.domain, "");
});

test("what cannot be is refused", (t) => {
  for (const wrong of [
    {},
    { resourcegroup: "a" },
    { resourcegroup: "a b" },
    { resourcegroup: "rg", statuscache: 7201 },
    { resourcegroup: "rg", exactsize: "perhaps" },
    { resourcegroup: "rg", apica: "ca.pem" },
    { resourcegroup: "rg", apikey: "/key" },
    { resourcegroup: "rg", apiuser: "a:b" },
  ])
    t.throws(() => parseSection(wrong), undefined, JSON.stringify(wrong));
});
