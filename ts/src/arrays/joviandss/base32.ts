// SPDX-License-Identifier: AGPL-3.0-or-later

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Base32 (RFC 4648) of a text as UTF-8, padded with `-`, which names may have, instead of `=`. */
export function encodeBase32(text: string): string {
  let [bits, value, encoded] = [0, 0, ""];
  for (const byte of Buffer.from(text)) {
    value = (value << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) encoded += alphabet[(value >>> (bits - 5)) & 31];
    value &= 31;
  }
  if (bits > 0) encoded += alphabet[(value << (5 - bits)) & 31];
  return encoded.padEnd(Math.ceil(encoded.length / 8) * 8, "-");
}

/** The text behind {@link encodeBase32}; undefined for what that never makes. */
export function decodeBase32(encoded: string | undefined): string | undefined {
  if (!encoded) return undefined;
  const bytes: number[] = [];
  let [bits, value] = [0, 0];
  for (const letter of encoded.replace(/-+$/, "")) {
    const digit = alphabet.indexOf(letter);
    if (digit < 0) return undefined;
    value = ((value << 5) | digit) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((value >>> bits) & 0xff);
  }
  try {
    const text = utf8.decode(Uint8Array.from(bytes));
    // One text has one name: other paddings and stray bits are none of ours.
    return encodeBase32(text) === encoded ? text : undefined;
  } catch {
    return undefined;
  }
}
