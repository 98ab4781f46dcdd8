// SPDX-License-Identifier: AGPL-3.0-or-later
// Fills a simulated StorPool cluster: a disk for each guest from 100 on, with snapshots.
const [url, token, volumes, snapshots] = process.argv.slice(2);

async function post(path, body) {
  const reply = await fetch(new URL(`ctrl/1.0/${path}`, url), {
    method: "POST",
    headers: { authorization: `Storpool v1:${token}` },
    body: JSON.stringify(body),
  });
  const { data, error } = await reply.json();
  if (error) throw new Error(`${path}: ${error.name}: ${error.descr}`);
  return data;
}

const tags = { virt: "pve", "pve-loc": "bench", pve: "sp", "pve-type": "images", "pve-disk": "0" };
for (let guest = 100; guest < 100 + Number(volumes); guest++) {
  const own = { ...tags, "pve-vm": `${guest}` };
  const { globalId } = await post("VolumeCreate", { template: "nvme", size: 1 << 30, tags: own });
  for (let n = 0; n < Number(snapshots); n++) {
    const named = { ...own, "pve-snap": `daily${n}`, "pve-snap-v": globalId };
    await post(`VolumeSnapshot/~${globalId}`, { tags: named });
  }
}
