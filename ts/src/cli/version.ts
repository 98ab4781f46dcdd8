// SPDX-License-Identifier: AGPL-3.0-or-later
declare const PVE_BLOCKIO_VERSION: string | undefined;

/** The product's version; the bundler puts it in from package.json. */
export const version: string = typeof PVE_BLOCKIO_VERSION === "string" ? PVE_BLOCKIO_VERSION : "0.0.0-dev";
