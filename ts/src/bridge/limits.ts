// SPDX-License-Identifier: AGPL-3.0-or-later
// Figures of the bridge protocol that both ends know (docs/protocol.md).

/** Version of the bridge protocol; `ping` tells it. */
export const protocolVersion = 1;

/** A request or reply line may not be longer than this, in bytes. */
export const maxLineBytes = 4 * 1024 * 1024;

/** While a call is being worked on, the client hears from the service at least this often, in milliseconds. */
export const workingIntervalMs = 1000;

/** A client that hears nothing for this long takes the service for dead, in milliseconds. */
export const silenceLimitMs = 4000;
