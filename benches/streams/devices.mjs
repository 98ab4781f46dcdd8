// SPDX-License-Identifier: AGPL-3.0-or-later
// Where pipelines read and write: files, or loop devices over them as the array simulators attach.
import { execFileSync } from "node:child_process";
import { closeSync, ftruncateSync, openSync, rmSync, statSync } from "node:fs";

const call = (program, ...args) => execFileSync(program, args, { encoding: "utf8" }).trim();

/** Files as they lie. A target is made anew by each pipeline. */
export function files() {
  return {
    source: (file) => file,
    target: (file) => ({
      path: file,
      reset: () => rmSync(file, { force: true }),
      written: () => statSync(file).blocks * 512,
    }),
    close() {},
  };
}

/** Loop devices; before each sample nothing of them is cached, as on a node that has just attached a volume. */
export function devices() {
  const attached = [];
  const attach = (file, ...options) => {
    const device = call(
      "losetup",
      "--find",
      "--show",
      "--sector-size",
      "512",
      "--direct-io=on",
      ...options,
      file,
    );
    attached.push(device);
    return device;
  };
  const forget = (device) => call("blockdev", "--flushbufs", device);
  let source;
  return {
    source(file) {
      source = attach(file, "--read-only");
      return source;
    },
    target(file, bytes) {
      const handle = openSync(file, "w");
      ftruncateSync(handle, bytes);
      closeSync(handle);
      const path = attach(file);
      return {
        path,
        reset() {
          call("blkdiscard", path);
          forget(path);
          forget(source);
        },
        written: () => statSync(file).blocks * 512,
      };
    },
    close() {
      for (const device of attached.splice(0)) call("losetup", "--detach", device);
    },
  };
}
