// SPDX-License-Identifier: AGPL-3.0-or-later

const decimalUnits = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const binaryUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/**
 * A progress line in the form of GNU dd, without newline. PVE recognises lines with whole seconds in a migration
 * and thins them out, so a line about work under way should get those.
 */
export function progressLine(bytes: bigint, seconds: number): string {
  const scaled = [scale(Number(bytes), 1000, decimalUnits), scale(Number(bytes), 1024, binaryUnits)];
  const detail = bytes < 1000n ? "" : ` (${(bytes < 1024n ? scaled.slice(0, 1) : scaled).join(", ")})`;
  const rate = seconds > 0 ? scale(Number(bytes) / seconds, 1000, decimalUnits) : "Infinity B";
  return `${bytes} bytes${detail} copied, ${Number(seconds.toPrecision(6))} s, ${rate}/s`;
}

function scale(value: number, base: number, units: readonly string[]): string {
  let unit = 0;
  let scaled = value;
  while (scaled >= base && unit < units.length - 1) {
    scaled /= base;
    unit++;
  }
  const text = unit === 0 || scaled >= 10 ? String(Math.round(scaled)) : scaled.toFixed(1);
  return `${text} ${units[unit]}`;
}
