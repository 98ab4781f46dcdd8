// SPDX-License-Identifier: AGPL-3.0-or-later
import dns from "node:dns";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { StorPoolSimulator } from "../../../sim/storpool/index.js";
import { dispatch } from "../../../src/bridge/dispatch.js";
import { requestSchema } from "../../../src/bridge/protocol.js";
import type { BlockioError } from "../../../src/common/errors.js";
import { silentLogger } from "../../../src/common/log.js";
import { Storages } from "../../../src/plugin/storage.js";
import { freePort } from "./fake.js";
import { blackHole, mute, Way } from "./hosts.js";

const wrongToken = "9999999";
/** PVE's patience with a storage, in milliseconds. */
const patience = 5_000;

const top = mkdtempSync(join(tmpdir(), "blockio-storpool-"));
process.env["PVE_BLOCKIO_STORPOOL_ROOT"] = join(top, "{template}");
process.env["PVE_BLOCKIO_CLUSTER_DIR"] = join(top, "cluster");
test.after.always(() => rmSync(top, { recursive: true, force: true }));

// A name with two addresses, as a resolver would give them.
const twoAddresses = "two.storpool.test";
const { lookup } = dns;
type Done = (error: NodeJS.ErrnoException | null, found: dns.LookupAddress[]) => void;
dns.lookup = ((name: string, options: dns.LookupAllOptions, done: Done) => {
  if (name !== twoAddresses) return lookup(name, options, done);
  done(
    null,
    ["127.0.0.12", "127.0.0.13"].map((address) => ({ address, family: 4 })),
  );
}) as unknown as typeof lookup;

/** What the configuration of a storage's cluster says, where it differs from the truth. */
interface Said {
  readonly host?: string;
  readonly port?: number;
  readonly token?: string;
}

/** One service with storages on simulated clusters, asked as the shim asks. */
class Service {
  readonly storages = new Storages({ name: "node-a" });

  constructor(readonly t: ExecutionContext) {
    t.teardown(() => this.storages.close());
  }

  /** Adds a storage; its template is also the name of its cluster. */
  async add(template: string, say: (sim: StorPoolSimulator) => Said | Promise<Said> = () => ({})) {
    const sim = await StorPoolSimulator.start({ templates: [template] });
    this.t.teardown(() => sim.close());
    const { host = "127.0.0.1", port = sim.port, token = sim.token } = await say(sim);
    const etc = join(top, template, "etc");
    mkdirSync(etc, { recursive: true });
    const lines = { SP_API_HTTP_HOST: host, SP_API_HTTP_PORT: port, SP_AUTH_TOKEN: token, SP_OURID: 11 };
    const text = Object.entries(lines).map(([key, value]) => `${key}=${value}\n`);
    writeFileSync(join(etc, "storpool.conf"), text.join(""));
    const ask = (method: string, args: object = {}, deadlineMs?: number): Promise<unknown> => {
      const scfg = { type: "storpool", template };
      const storeid = `sp-${template}`;
      const request = requestSchema.parse({ id: 1, method, storeid, scfg, args, deadlineMs });
      const caller = { leases: new Map(), signal: new AbortController().signal, log: silentLogger };
      return dispatch(this.storages, request, caller);
    };
    return { sim, ask, storeid: `sp-${template}` };
  }
}

type Storage = Awaited<ReturnType<Service["add"]>>;

const alloc = { vmid: 100, format: "raw", name: "vm-100-disk-0", size: "1048576" };

async function timed<T>(promise: Promise<T>): Promise<number> {
  const started = performance.now();
  await promise;
  return performance.now() - started;
}

interface Trouble {
  readonly code: string;
  /** Besides operation and storage: the object, and what to do next. */
  readonly says: RegExp;
  prepare(t: ExecutionContext, service: Service, template: string): Promise<Storage>;
}

const unreachable = /StorPool at \S+:\d+ .*; check the network and SP_API_HTTP_HOST in \/etc\/storpool\.conf/;
const troubles: Record<string, Trouble> = {
  "its cluster refuses connections": {
    code: "unreachable",
    says: unreachable,
    prepare: async (t, service, template) => {
      const port = await freePort(t);
      return service.add(template, () => ({ port }));
    },
  },
  "its cluster swallows packets": {
    code: "unreachable",
    says: unreachable,
    prepare: async (t, service, template) => {
      const port = await blackHole(t, "127.0.0.1");
      return service.add(template, () => ({ port }));
    },
  },
  "its cluster never answers": {
    code: "unreachable",
    says: unreachable,
    prepare: async (t, service, template) => {
      const port = await mute(t, "127.0.0.1");
      return service.add(template, () => ({ port }));
    },
  },
  "a proxy answers instead of its cluster": {
    code: "unreachable",
    says: unreachable,
    prepare: async (_t, service, template) => {
      const storage = await service.add(template);
      storage.sim.inject({ kind: "bad-gateway", count: 1_000_000 });
      return storage;
    },
  },
  "its token is wrong": {
    code: "auth",
    says: /StorPool says accessDenied: .*; set SP_AUTH_TOKEN in \/etc\/storpool\.conf/,
    prepare: (_t, service, template) => service.add(template, () => ({ token: wrongToken })),
  },
  "its template is missing": {
    code: "absent",
    says: /template '\S+'.*; (?:check|correct) /,
    prepare: async (_t, service, template) => {
      const storage = await service.add(template);
      storage.sim.state.templates.clear();
      return storage;
    },
  },
};

let number = 0;
for (const [what, { code, says, prepare }] of Object.entries(troubles)) {
  test.serial(`while ${what}: state in time and in one line, nothing done, others undisturbed`, async (t) => {
    const service = new Service(t);
    const broken = await prepare(t, service, `broken-${++number}`);
    const other = await service.add(`other-${number}`);
    await other.ask("status");
    const methods = ["status", "activate_storage", "check_connection"];
    const answers = methods.map(async (method) => {
      const started = performance.now();
      const error = await t.throwsAsync(broken.ask(method), { code }, method);
      t.true(performance.now() - started < patience, method);
      t.regex(error?.message ?? "", says, method);
      t.regex(error?.message ?? "", new RegExp(`^\\S[^\\n]*on storage '${broken.storeid}'[^\\n]*$`), method);
      t.false(error?.message.includes(wrongToken), "the token is nobody's business");
    });
    const others = await timed(other.ask("status"));
    t.true(others < 1_500, `another storage took ${Math.round(others)} ms`);
    await Promise.all(answers);
    const changes: [string, object][] = [
      ["alloc_image", alloc],
      ["free_image", { volname: "vm-100-disk-0-sp-nzkr.b.1.raw" }],
      ["volume_resize", { volname: "vm-100-disk-0-sp-nzkr.b.1.raw", size: "2097152", running: false }],
      ["volume_snapshot", { volname: "vm-100-disk-0-sp-nzkr.b.1.raw", snap: "s1", running: false }],
    ];
    // The truth of a template that is missing: what is on the cluster can be worked with, new volumes cannot be made.
    const possible = code === "absent" ? changes.slice(0, 1) : changes;
    await Promise.all(
      possible.map(async ([method, args]) => {
        const error = await t.throwsAsync<BlockioError>(
          broken.ask(method, { ...args }, 4_500),
          undefined,
          method,
        );
        t.true([code, "timeout"].includes(error?.code ?? ""), `${method}: ${error?.code} ${error?.message}`);
      }),
    );
    t.is(broken.sim.state.objects.size, 0);
    t.truthy(await other.ask("alloc_image", alloc));
  });
}

/** State in time, and a volume that lives from its making to its end. */
async function goesOn(t: ExecutionContext, { ask, sim }: Storage): Promise<void> {
  const took = await timed(ask("status").then((status) => t.like(status, { active: true })));
  t.true(took < patience, `status took ${Math.round(took)} ms`);
  await ask("activate_storage");
  const { volname } = (await ask("alloc_image", alloc)) as { volname: string };
  await ask("volume_snapshot", { volname, snap: "s1", running: false });
  t.is(((await ask("list_images", { vmid: 100, vollist: null })) as unknown[]).length, 1);
  t.deepEqual(await ask("free_image", { volname }), { existed: true });
  t.is(sim.state.objects.size, 0);
}

type Die = (t: ExecutionContext, port: number) => Promise<unknown>;
const deaths: Record<string, Die> = {
  refuses: async () => {},
  "swallows packets": (t, port) => blackHole(t, "127.0.0.12", port),
  "never answers": (t, port) => mute(t, "127.0.0.12", port),
};
for (const [what, die] of Object.entries(deaths)) {
  test.serial(`one of two API hosts ${what}: state in time, operations go on`, async (t) => {
    const storage = await new Service(t).add(`two-${++number}`, async (sim) => {
      const { port } = await Way.open(t, sim.port, "127.0.0.13");
      await die(t, port);
      return { host: twoAddresses, port };
    });
    await goesOn(t, storage);
  });
}

test.serial("the API's address moves to another host: state in time, operations go on", async (t) => {
  const ways: Way[] = [];
  const storage = await new Service(t).add(`moved-${++number}`, async (sim) => {
    const way = await Way.open(t, sim.port);
    ways.push(way);
    return { port: way.port };
  });
  await goesOn(t, storage);
  for (const way of ways) way.cutOff();
  await goesOn(t, storage);
  storage.sim.inject({ kind: "delay", on: "VolumeTemplatesStatus", ms: 500 });
  const status = storage.ask("status");
  while (!storage.sim.journal.entries.at(-1)?.path.startsWith("VolumeTemplatesStatus")) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  for (const way of ways) way.cutOff();
  const took = await timed(status.then((answer) => t.like(answer, { active: true })));
  t.true(took < patience, `status took ${Math.round(took)} ms`);
});

test.serial("a configuration that is corrected is read without a restart", async (t) => {
  const port = await mute(t, "127.0.0.1");
  const template = `corrected-${++number}`;
  const { ask, sim } = await new Service(t).add(template, () => ({ port }));
  await t.throwsAsync(ask("status"), { code: "unreachable" });
  writeFileSync(
    join(top, template, "etc/storpool.conf"),
    `SP_API_HTTP_HOST=127.0.0.1\nSP_API_HTTP_PORT=${sim.port}\nSP_AUTH_TOKEN=${sim.token}\nSP_OURID=11\n`,
  );
  t.like(await ask("status"), { active: true });
});
