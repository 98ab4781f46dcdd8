// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { codeOf } from "../../common/errors.js";
import { error, type Finding, findingOf, ok, warning } from "../../common/finding.js";
import type { NodeNeeds } from "../contract.js";
import { originOf } from "./controllers.js";
import type { LinstorSection } from "./schema.js";
import type { Session } from "./session.js";

export function needs({ controllers, certificates, user }: LinstorSection): NodeNeeds {
  // Where the scheme depends on a token that the satellite may have, the plain one is looked at: a refusal is an answer too.
  const tls = certificates.ca !== undefined || certificates.cert !== undefined || user !== undefined;
  return {
    api: [...new Set(controllers.map((one) => originOf(one, tls)))],
    oneApi: true,
    disks: { examples: ["/dev/drbd1000", "/dev/drbd/by-res/vm-100-disk-0/0"], reject: ["r|^/dev/drbd|"] },
  };
}

export async function diagnose({ client, section, node }: Session, ctx: Context): Promise<Finding[]> {
  const found: Finding[] = [];
  try {
    await client.group(ctx, section.group);
  } catch (thrown) {
    const check = { auth: "credentials", absent: "group" }[codeOf(thrown) as string] ?? "array";
    return [findingOf(check, thrown)];
  }
  found.push(ok("credentials", "a controller answers"), ok("group", `'${section.group}' is there`));
  const nodes = await client.nodes(ctx);
  const own = nodes.find(({ name }) => name.toLowerCase() === node.toLowerCase());
  if (!own)
    found.push(
      error(
        "satellite",
        `LINSTOR has no node '${node}', which is this one`,
        `linstor node create ${node} ADDRESS`,
      ),
    );
  else if (!own.online)
    found.push(
      error(
        "satellite",
        `LINSTOR does not reach the satellite of this node '${node}': no volume can be made or moved here`,
        "systemctl restart linstor-satellite.service, and look why it ended",
      ),
    );
  else found.push(ok("satellite", `'${node}' is online`));
  const away = nodes.filter((one) => one !== own && !one.online).map(({ name }) => name);
  if (away.length > 0)
    found.push(
      warning(
        "satellite",
        `LINSTOR does not reach ${away.join(", ")}: replicas there are not up to date`,
        "linstor node list; start the satellites there",
      ),
    );
  return found;
}
