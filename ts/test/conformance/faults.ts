// SPDX-License-Identifier: AGPL-3.0-or-later
import { link, mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Caller, dispatch } from "../../src/bridge/dispatch.js";
import type { Request } from "../../src/bridge/protocol.js";
import { BlockioError, type ErrorCode, fail } from "../../src/common/errors.js";
import { MiB } from "./bytes.js";
import type { Capability } from "./question.js";
import type { Ask } from "./session.js";

/** A fault of a service, and a question that must find it. */
export interface Fault {
  readonly what: string;
  readonly topic: string;
  /** How the question's title begins. */
  readonly question: string;
  readonly needs?: readonly Capability[];
  readonly ask: Ask;
}

// biome-ignore lint/suspicious/noExplicitAny: a liar handles answers of every method
type Answer = any;
type Args = Request["args"];

/** The honest service, except that answers to `method` are changed. */
function after(method: string, change: (answer: Answer, request: Request, caller: Caller) => Answer): Ask {
  return async (storages, request, caller) => {
    const answer = await dispatch(storages, request, caller);
    return request.method === method ? change(answer, request, caller) : answer;
  };
}

/** The honest service, except that calls of `method` are made with other arguments. */
function before(method: string, change: (args: Args) => Args): Ask {
  return (storages, request, caller) =>
    dispatch(
      storages,
      request.method === method ? { ...request, args: change(request.args) } : request,
      caller,
    );
}

/** The honest service, except that its errors are changed; what is returned instead of thrown is the answer. */
function erring(
  change: (error: BlockioError, request: Request, again: () => Promise<unknown>) => Answer,
): Ask {
  return async (storages, request, caller) => {
    try {
      return await dispatch(storages, request, caller);
    } catch (error) {
      const unnamed = { ...request, args: { ...request.args, name: null } };
      return change(error as BlockioError, request, () => dispatch(storages, unnamed, caller));
    }
  };
}

/** The honest service, except that one code becomes another. */
function recoded(from: ErrorCode, to: ErrorCode): Ask {
  return erring((error) => {
    throw error.code === from ? fail(to, error.message) : error;
  });
}

const pathIn = (request: Request, ...parts: string[]) => join(String(request.scfg?.["path"]), ...parts);
const imageOf = (request: Request, volname: unknown) => pathIn(request, "images", String(volname));
const bigger = (size: unknown) => (BigInt(String(size)) + 4096n).toString();

/** Faults that services have had, or might. All are planted in front of type `blockio`. */
export const faults: readonly Fault[] = [
  {
    what: "a storage says that it is active with more used than it has",
    topic: "storage",
    question: "is active",
    ask: after("status", (status) => ({ ...status, used: bigger(status.total) })),
  },
  {
    what: "all places have one identity",
    topic: "storage",
    question: "has an identity",
    ask: after("get_identity", () => "blockio"),
  },
  {
    what: "activation leaves a file each time",
    topic: "storage",
    question: "can be activated again",
    ask: after("activate_storage", async (answer, request) => {
      await writeFile(pathIn(request, `.activated.${Date.now()}.${request.id}`), "");
      return answer;
    }),
  },
  {
    what: "a taken name is replaced by another",
    topic: "names",
    question: "a taken name is never",
    ask: erring((error, request, again) => {
      if (request.method === "alloc_image" && error.code === "exists") return again();
      throw error;
    }),
  },
  {
    what: "a refused call leaves an empty directory",
    topic: "names",
    question: "a taken name is never",
    ask: erring(async (error, request) => {
      await mkdir(pathIn(request, "images", "999"), { recursive: true });
      throw error;
    }),
  },
  {
    what: "an error has two lines",
    topic: "names",
    question: "a taken name is never",
    ask: erring((error) => {
      Object.defineProperty(error, "message", { value: `${error.message}\nat line 7` });
      throw error;
    }),
  },
  {
    what: "an error does not name its volume",
    topic: "names",
    question: "a taken name is never",
    ask: erring((error) => {
      throw new BlockioError(error.code, "it exists");
    }),
  },
  {
    what: "names are told with the wrong number",
    topic: "names",
    question: "a free name is told",
    ask: after("find_free_diskname", ({ name }) => ({ name: name.replace("disk-1", "disk-2") })),
  },
  {
    what: "freeing leaves something behind",
    topic: "allocation",
    question: "a new volume can be written",
    ask: after("free_image", async (answer, request) => {
      await writeFile(pathIn(request, "images", ".trash"), "");
      return answer;
    }),
  },
  {
    what: "a new volume is not empty",
    topic: "allocation",
    question: "a new volume reads as zeros",
    ask: after("alloc_image", async (answer, request) => {
      await writeFile(imageOf(request, answer.volname), "x", { flag: "r+" });
      return answer;
    }),
  },
  {
    what: "a volume is larger than asked for",
    topic: "sizes",
    question: "511 bytes",
    ask: before("alloc_image", (args) => ({ ...args, size: bigger(args["size"]) })),
  },
  {
    what: "a volume is smaller than it says",
    topic: "sizes",
    question: "4 MiB",
    ask: after("alloc_image", async (answer, request) => {
      await truncate(imageOf(request, answer.volname), Number(request.args["size"]) - 1);
      return answer;
    }),
  },
  {
    what: "a size is a number",
    topic: "sizes",
    question: "4 MiB",
    ask: after("volume_size_info", (info) => ({ ...info, size: Number(info.size) })),
  },
  {
    what: "a listing lacks one",
    topic: "listing",
    question: "each volume is listed once",
    ask: after("list_images", (list) => list.slice(1)),
  },
  {
    what: "a listing has one twice",
    topic: "listing",
    question: "each volume is listed once",
    ask: after("list_images", (list) => [...list, ...list.slice(0, 1)]),
  },
  {
    what: "a listing by guest is that of all",
    topic: "listing",
    question: "by guest",
    ask: before("list_images", (args) => ({ ...args, vmid: null })),
  },
  {
    what: "freeing takes what is not ours along",
    topic: "listing",
    question: "is not disturbed by dot files",
    ask: after("free_image", async (answer, request) => {
      await rm(pathIn(request, "images", "100", ".nfs0000000001"), { force: true });
      return answer;
    }),
  },
  {
    what: "a snapshot goes on with its volume",
    topic: "snapshots",
    question: "hold the data of their time",
    needs: ["snapshots"],
    ask: after("volume_snapshot", async (answer, { args, ...request }) => {
      const [vmid = "", name = ""] = String(args["volname"]).split("/");
      const snap = pathIn({ args, ...request }, "images", vmid, ".snap", name, String(args["snap"]));
      await rm(snap);
      await link(imageOf({ args, ...request }, args["volname"]), snap);
      return answer;
    }),
  },
  {
    what: "names of snapshots lose their case",
    topic: "snapshots",
    question: "have the names that PVE",
    needs: ["snapshots"],
    ask: before("volume_snapshot", (args) => ({ ...args, snap: String(args["snap"]).toLowerCase() })),
  },
  {
    what: "rollback keeps the new size",
    topic: "rollback",
    question: "brings data and size back",
    needs: ["snapshots"],
    ask: after("volume_snapshot_rollback", async (answer, request) => {
      await truncate(imageOf(request, request.args["volname"]), Number(8n * MiB));
      return answer;
    }),
  },
  {
    what: "rollback does nothing",
    topic: "rollback",
    question: "leaves the snapshot as it was",
    needs: ["snapshots"],
    ask: (storages, request, caller) =>
      request.method === "volume_snapshot_rollback"
        ? Promise.resolve(null)
        : dispatch(storages, request, caller),
  },
  {
    what: "a base keeps its old name in the answer",
    topic: "bases",
    question: "have the base's name",
    ask: after("create_base", (_, request) => ({ volname: request.args["volname"] })),
  },
  {
    what: "a clone starts empty",
    topic: "clones",
    question: "of a base are written to",
    needs: ["linkedClones"],
    ask: after("clone_image", async (answer, request) => {
      await rm(imageOf(request, answer.volname));
      await writeFile(imageOf(request, answer.volname), Buffer.alloc(Number(MiB)));
      return answer;
    }),
  },
  {
    what: "renaming takes the exact name for a proposal",
    topic: "rename",
    question: "honours an exact name",
    needs: ["rename"],
    ask: before("rename_volume", (args) => ({ ...args, name: null })),
  },
  {
    what: "a volume shrinks",
    topic: "resize",
    question: "never shrinks",
    ask: erring(async (error, request) => {
      if (request.method !== "volume_resize") throw error;
      await truncate(imageOf(request, request.args["volname"]), Number(request.args["size"]));
      return null;
    }),
  },
  {
    what: "growing stops short",
    topic: "resize",
    question: "grows by what is asked for",
    ask: after("volume_resize", async (answer, request) => {
      await truncate(imageOf(request, request.args["volname"]), Number(request.args["size"]) - 1);
      return answer;
    }),
  },
  {
    what: "the path is another one than PVE computes",
    topic: "activation",
    question: "makes exactly the path usable",
    ask: after("map_volume", ({ path }) => ({ path: path.replace("/images/", "/images/./") })),
  },
  {
    what: "an export is of the present, not of the snapshot",
    topic: "export",
    question: "of a snapshot is of its time",
    needs: ["snapshots"],
    ask: before("volume_export", (args) => ({ ...args, snap: null })),
  },
  {
    what: "an import that is given up stays",
    topic: "import",
    question: "that is given up after the data",
    ask: after("volume_import", (answer, _, caller) => {
      for (const lease of caller.leases.values()) lease.abandon = async () => {};
      return answer;
    }),
  },
  {
    what: "an import replaces the volume that has its name",
    topic: "import",
    question: "never takes a taken name",
    ask: before("volume_import", (args) => ({ ...args, allowRename: true })),
  },
  {
    what: "a directory has a size",
    topic: "directories",
    question: "are volumes without a size",
    needs: ["directories"],
    ask: after("volume_size_info", (info) => ({ ...info, size: "4096" })),
  },
  {
    what: "what does not exist is a defect",
    topic: "errors",
    question: "what does not exist is absent",
    ask: recoded("absent", "internal"),
  },
  {
    what: "an array that does not answer has nothing",
    topic: "errors",
    question: "while the directory is missing nothing is absent",
    ask: recoded("unreachable", "absent"),
  },
  {
    what: "an array that does not answer has an empty listing",
    topic: "errors",
    question: "while the directory is missing nothing is absent",
    ask: erring((error, request) => {
      if (request.method === "list_images") return [];
      throw error;
    }),
  },
  {
    what: "freeing always says that there was something",
    topic: "idempotence",
    question: "freeing again",
    ask: after("free_image", () => ({ existed: true })),
  },
  {
    what: "the snapshots of a crash come back to life",
    topic: "leftovers",
    question: "a crash's old snapshot does not show on a volume that takes the name by chance",
    needs: ["snapshots"],
    ask: after("alloc_image", async (answer, request) => {
      const [vmid = "", name = ""] = answer.volname.split("/");
      await mkdir(pathIn(request, "images", vmid, ".snap", name), { recursive: true });
      await writeFile(pathIn(request, "images", vmid, ".snap", name, "old"), "");
      return answer;
    }),
  },
  {
    what: "deadlines are not kept",
    topic: "deadlines",
    question: "a call that waits for another one",
    ask: async (storages, request, caller) => {
      // Nobody should wait for ever, not even here.
      const late = request.deadlineMs === undefined ? {} : { deadlineMs: request.deadlineMs + 6000 };
      return dispatch(storages, { ...request, ...late }, caller);
    },
  },
  {
    what: "two callers get one name",
    topic: "concurrency",
    question: "32 allocations at once get the 32",
    ask: after("alloc_image", ({ volname }) => ({ volname: volname.replace("disk-7.", "disk-8.") })),
  },
  {
    what: "a call without room leaves its half of a volume",
    topic: "space",
    question: "a volume that does not fit",
    ask: erring(async (error, request) => {
      if (error.code === "no-space") await writeFile(imageOf(request, ".half"), "");
      throw error;
    }),
  },
  {
    what: "a full array is a defect",
    topic: "space",
    question: "a volume that cannot grow",
    ask: recoded("no-space", "internal"),
  },
];
