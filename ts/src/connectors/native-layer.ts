// SPDX-License-Identifier: AGPL-3.0-or-later
import { native } from "../common/native.js";
import type {
  DeviceLayer,
  DevicePath,
  FoundPaths,
  Hctl,
  MultipathMap,
  NvmeController,
  Stoppable,
} from "./device-layer.js";
import { formatPortal } from "./portal.js";

type Native = ReturnType<typeof native>;
type NativeMap = NonNullable<Awaited<ReturnType<Native["multipathMap"]>>>;
type NativePath = Awaited<ReturnType<Native["devicePaths"]>>[number];

/** The Rust layer, in the words of the connectors. `socket` is multipathd's where it is not at its usual place. */
export function nativeLayer(socket?: string): DeviceLayer {
  const rust = native();
  return {
    devicePaths: async (root, wwid) => (await rust.devicePaths(root, wwid)).flatMap(asPath),
    usedPaths: async (root, wwid) => (await rust.usedPaths(root, wwid)).flatMap(asPath),
    iscsiSessions: (root, targetName) => rust.iscsiSessions(root, targetName),
    fcTargets: (root, wwpn) => rust.fcTargets(root, wwpn),
    nvmeControllers: async (root, nqn) => (await rust.nvmeControllers(root, nqn)).map(asController),
    nvmeDisks: (root, nqn) => rust.nvmeDisks(root, nqn),
    nvmeNamespace: async (root, nqn, nguid) => (await rust.nvmeNamespace(root, nqn, nguid)) ?? undefined,
    nvmeRescan: (root, controller, timeoutMs) => rust.nvmeRescan(root, controller, timeoutMs),
    scanLun: (root, hctl, timeoutMs) => rust.scanLun(root, hctl, timeoutMs),
    waitPaths: (root, wwid, at, timeoutMs) =>
      mapped(
        rust.waitPaths(root, wwid, [...at], timeoutMs),
        (found): FoundPaths => ({
          there: found.there.flatMap(asPath),
          missing: found.missing,
          foreign: found.foreign.flatMap(asPath),
        }),
      ),
    rescanPath: (root, hctl, wwid, timeoutMs) => rust.rescanPath(root, hctl, wwid, timeoutMs),
    deletePath: async (root, hctl, wwid, timeoutMs) =>
      void (await rust.deletePath(root, hctl, wwid, timeoutMs)),
    deviceUsers: (root, name) => rust.deviceUsers(root, name),
    flushDevice: (path, timeoutMs) => rust.flushDevice(path, timeoutMs),
    multipathStatus: (timeoutMs) => rust.multipathStatus(socket, timeoutMs),
    multipathMap: async (root, wwid) => asMap(await rust.multipathMap(root, wwid)),
    multipathEnsure: (root, wwid, paths, wanted, timeoutMs) =>
      mapped(
        rust.multipathEnsure({
          root,
          ...(socket === undefined ? {} : { socket }),
          wwid,
          paths: [...paths],
          wanted,
          timeoutMs,
        }),
        ({ map, missing }) => ({ map: asMap(map), missing }),
      ),
    multipathResize: (root, wwid, size, timeoutMs) =>
      rust.multipathResize(root, socket, wwid, size, timeoutMs),
    multipathRemove: async (root, wwid, timeoutMs) =>
      void (await rust.multipathRemove(root, socket, wwid, timeoutMs)),
  };
}

/** A device that is no disk yet has no name, and nobody can use it. */
function asPath({ name, hctl, wwid, size, state }: NativePath): DevicePath[] {
  return name === undefined ? [] : [{ name, hctl, size, state, ...(wwid === undefined ? {} : { wwid }) }];
}

function asMap(map: NativeMap | null | undefined): MultipathMap | undefined {
  if (!map) return undefined;
  const { name, node, wwid, size } = map;
  const paths = map.paths.map(({ name, usable, hctl }) => {
    const at = hctl === undefined ? undefined : asHctl(hctl);
    return { name, usable, ...(at ? { hctl: at } : {}) };
  });
  return { name, node, wwid, size, paths };
}

/** Such as `2:0:0:1`. */
function asHctl(text: string): Hctl | undefined {
  const [host, channel, target, lun] = text.split(":").map(Number);
  if (host === undefined || channel === undefined || target === undefined || lun === undefined)
    return undefined;
  return { host, channel, target, lun };
}

function asController({
  name,
  state,
  address,
}: Awaited<ReturnType<Native["nvmeControllers"]>>[number]): NvmeController {
  const parts = new Map(
    address.split(",").map((part): [string, string] => {
      const [key = "", value = ""] = part.split("=");
      return [key.trim(), value.trim()];
    }),
  );
  const portal = formatPortal({
    address: parts.get("traddr") ?? "",
    port: Number(parts.get("trsvcid") ?? 0),
  });
  return { name, state, portal };
}

function mapped<A, B>(work: Stoppable<A>, convert: (value: A) => B): Stoppable<B> {
  return Object.assign(work.then(convert), { cancel: () => work.cancel() });
}
