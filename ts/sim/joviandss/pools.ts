// SPDX-License-Identifier: AGPL-3.0-or-later
import { available, type Pool } from "./state.js";
import { type Handler, ok } from "./world.js";

export const connTest: Handler = () => ok("OK");

export const poolList: Handler = ({ state }) => ok([...state.pools.values()].map(poolShape));

export const poolGet: Handler = (_, { pool }) => ok(poolShape(pool));

export const vipList: Handler = (_, { pool }) =>
  ok(
    pool.vips.map(({ name, address }, index) => ({
      name,
      address,
      netmask: "255.255.0.0",
      interface: `eth${index + 1}`,
      remote_interface: [{ node_id: "f1e2d3", interface: `eth${index + 1}` }],
    })),
  );

function poolShape(pool: Pool): Record<string, unknown> {
  const { name, id, size, health } = pool;
  return {
    name,
    id,
    size: String(size),
    available: String(available(pool)),
    health,
    status: 24,
    operation: "none",
    encryption: { enabled: false },
    scan: { state: "finished", type: "scrub", errors: 0, repaired: "0" },
    iostats: { read: "0", write: "0", chksum: "0" },
    vdevs: [{ name: "mirror-0", type: "mirror", health, disks: [] }],
  };
}
