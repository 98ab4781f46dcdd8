// SPDX-License-Identifier: AGPL-3.0-or-later
// What needs the drivers, apart from what every command needs: the build puts it into a file of its own.
export { Bridge } from "../bridge/server.js";
export { initiatorName, writeNodeRecord } from "../common/node-record.js";
export { examine, worst } from "../doctor/examine.js";
export { multipathStatus } from "../doctor/multipath.js";
export { RequestJournal } from "../plugin/journal.js";
export { makeManifest, typeNames } from "../plugin/manifest.js";
export { makeReference } from "../plugin/reference.js";
export { Storages } from "../plugin/storage.js";
export { strayLinks } from "../plugin/stray-links.js";
