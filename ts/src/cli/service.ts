// SPDX-License-Identifier: AGPL-3.0-or-later
// What only the service needs, apart from what every command needs: the build puts it into a file of its own.
export { Bridge } from "../bridge/server.js";
export { RequestJournal } from "../plugin/journal.js";
export { makeManifest } from "../plugin/manifest.js";
export { Storages } from "../plugin/storage.js";
