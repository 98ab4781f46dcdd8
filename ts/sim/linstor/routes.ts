// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import * as bodies from "./arguments.js";
import { resourceAutoplace } from "./autoplace.js";
import { makeAvailable } from "./available.js";
import * as clones from "./clones.js";
import type { ObjectKind, Operation } from "./codes.js";
import * as connections from "./connections.js";
import * as definitions from "./definitions.js";
import * as groups from "./groups.js";
import * as resources from "./resources.js";
import { restoreResource, restoreVolumeDefinition } from "./restore.js";
import * as rollback from "./rollback.js";
import * as sizes from "./sizes.js";
import * as snapshots from "./snapshots.js";
import { toggleDisk, toggleDiskful, toggleDiskless } from "./toggle.js";
import * as views from "./views.js";
import * as volumes from "./volume-definitions.js";
import type { Command, Query } from "./world.js";

export type Verb = "GET" | "POST" | "PUT" | "DELETE";

interface Common {
  /** Name in the journal and in orders of faults. */
  readonly name: string;
  readonly verb: Verb;
  /** Behind `/v1/`, with `:names`. */
  readonly path: string;
  readonly pattern: RegExp;
}

/** One request that the controller knows. */
export type Route =
  | (Common & { readonly kind: "query"; readonly run: Query })
  | (Common & {
      readonly kind: "command";
      /** HTTP status of success. */
      readonly success: 200 | 201;
      readonly operation: Operation;
      readonly object: ObjectKind;
      readonly schema: z.ZodType | undefined;
      /** Takes turns with others by itself. */
      readonly staged: boolean;
      readonly run: Command;
    });

const group = "resource-groups/:group";
const definition = "resource-definitions/:definition";
const resource = `${definition}/resources/:node`;
const volume = `${definition}/volume-definitions/:volume`;
const snapshot = `${definition}/snapshots/:snapshot`;
const pair = `${definition}/resource-connections/:one/:other`;

function pathed<T extends { verb: Verb; path: string }>(route: T): T & { pattern: RegExp } {
  const pattern = new RegExp(`^${route.path.replaceAll(/:([a-z]+)/g, "(?<$1>[^/]+)")}/?$`);
  return { ...route, pattern };
}

function get(path: string, handler: Record<string, Query>): Route[] {
  return Object.entries(handler).map(([name, run]) =>
    pathed({ kind: "query", name, verb: "GET", path, run }),
  );
}

type Context = readonly [success: 200 | 201, operation: Operation, object: ObjectKind];

function command<T extends z.ZodType | undefined>(
  verb: Verb,
  path: string,
  handler: Record<string, Command<T extends z.ZodType ? z.output<T> : unknown>>,
  [success, operation, object]: Context,
  schema: T,
  staged = false,
): Route[] {
  return Object.entries(handler).map(([name, run]) =>
    pathed({
      kind: "command",
      name,
      verb,
      path,
      success,
      operation,
      object,
      schema,
      staged,
      // The body was checked against the schema before it gets there.
      run: run as Command,
    }),
  );
}

const createGroup: Context = [201, "create", "resource group"];
const modifyGroup: Context = [200, "modify", "resource group"];
const createDefinition: Context = [201, "create", "resource definition"];
const createResource: Context = [201, "create", "resource"];
const modifyResource: Context = [200, "modify", "resource"];
const createSnapshot: Context = [201, "create", "snapshot"];
const modifySnapshot: Context = [200, "modify", "snapshot"];
const ask: Context = [200, "none", "none"];

/** Every request, in the order in which they are tried: fixed words before names. */
export const routes: readonly Route[] = [
  get("controller/version", { version: views.version }),
  get("nodes", { nodeList: views.nodeList }),
  get("nodes/:node", { nodeGet: views.nodeGet }),
  get("view/storage-pools", { poolView: views.poolView }),
  get("view/resources", { resourceView: views.resourceView }),
  get("view/snapshots", { snapshotView: views.snapshotView }),

  get("resource-groups", { groupList: views.groupList }),
  command(
    "POST",
    "resource-groups",
    { groupCreate: groups.groupCreate },
    createGroup,
    bodies.groupCreateArguments,
  ),
  get(group, { groupGet: views.groupGet }),
  command("PUT", group, { groupModify: groups.groupModify }, modifyGroup, bodies.groupModifyArguments),
  command("DELETE", group, { groupDelete: groups.groupDelete }, [200, "delete", "resource group"], undefined),
  get(`${group}/volume-groups`, { volumeGroupList: views.volumeGroupList }),
  command(
    "POST",
    `${group}/volume-groups`,
    { volumeGroupCreate: groups.volumeGroupCreate },
    createGroup,
    bodies.volumeGroupArguments,
  ),
  command("POST", `${group}/spawn`, { spawn: groups.spawn }, createDefinition, bodies.spawnArguments),
  command("POST", `${group}/query-size-info`, { groupSizes: sizes.groupSizes }, ask, bodies.sizeArguments),
  command(
    "POST",
    "queries/resource-groups/query-all-size-info",
    { allSizes: sizes.allSizes },
    ask,
    bodies.sizeArguments,
  ),

  get("resource-definitions", { definitionList: views.definitionList }),
  command(
    "POST",
    "resource-definitions",
    { definitionCreate: definitions.definitionCreate },
    createDefinition,
    bodies.definitionCreateArguments,
  ),
  get(definition, { definitionGet: views.definitionGet }),
  command(
    "PUT",
    definition,
    { definitionModify: definitions.definitionModify },
    [200, "modify", "resource definition"],
    bodies.definitionModifyArguments,
  ),
  command(
    "DELETE",
    definition,
    { definitionDelete: definitions.definitionDelete },
    [200, "delete", "resource definition"],
    undefined,
  ),
  command(
    "POST",
    `${definition}/clone`,
    { cloneStart: clones.cloneStart },
    createDefinition,
    bodies.cloneArguments,
  ),
  get(`${definition}/clone/:clone`, { cloneStatus: clones.cloneStatus }),
  get(`${definition}/sync-status`, { syncStatus: views.syncStatus }),

  get(`${definition}/volume-definitions`, { volumeDefinitionList: views.volumeDefinitionList }),
  command(
    "POST",
    `${definition}/volume-definitions`,
    { volumeDefinitionCreate: volumes.volumeDefinitionCreate },
    [201, "create", "volume definition"],
    bodies.volumeDefinitionCreateArguments,
  ),
  get(volume, { volumeDefinitionGet: views.volumeDefinitionGet }),
  command(
    "PUT",
    volume,
    { volumeDefinitionModify: volumes.volumeDefinitionModify },
    [200, "modify", "volume definition"],
    bodies.volumeDefinitionModifyArguments,
  ),
  command(
    "DELETE",
    volume,
    { volumeDefinitionDelete: volumes.volumeDefinitionDelete },
    [200, "delete", "volume definition"],
    undefined,
  ),

  get(`${definition}/resources`, { resourceList: views.resourceList }),
  command(
    "POST",
    `${definition}/resources`,
    { resourcesCreate: resources.resourcesCreate },
    createResource,
    bodies.resourcesCreateArguments,
  ),
  get(resource, { resourceGet: views.resourceGet }),
  command(
    "POST",
    resource,
    { resourceCreate: resources.resourceCreate },
    createResource,
    bodies.resourceCreateArguments,
  ),
  command(
    "PUT",
    resource,
    { resourceModify: resources.resourceModify },
    modifyResource,
    bodies.changeArguments,
  ),
  command(
    "DELETE",
    resource,
    { resourceDelete: resources.resourceDelete },
    [200, "delete", "resource"],
    undefined,
  ),
  command(
    "POST",
    `${resource}/make-available`,
    { makeAvailable },
    [200, "create", "resource"],
    bodies.makeAvailableArguments,
  ),
  command("PUT", `${resource}/toggle-disk`, { toggleDisk }, modifyResource, bodies.toggleDiskArguments),
  command(
    "PUT",
    `${resource}/toggle-disk/diskful`,
    { toggleDiskful },
    modifyResource,
    bodies.oldToggleArguments,
  ),
  command(
    "PUT",
    `${resource}/toggle-disk/diskful/:pool`,
    { toggleDiskful },
    modifyResource,
    bodies.oldToggleArguments,
  ),
  command(
    "PUT",
    `${resource}/toggle-disk/diskless`,
    { toggleDiskless },
    modifyResource,
    bodies.oldToggleArguments,
  ),
  command(
    "POST",
    `${definition}/autoplace`,
    { resourceAutoplace },
    createResource,
    bodies.autoplaceArguments,
  ),

  get(`${definition}/resource-connections`, { connectionList: connections.connectionList }),
  get(pair, { connectionGet: connections.connectionGet }),
  command(
    "PUT",
    pair,
    { connectionModify: connections.connectionModify },
    [200, "modify", "resource connection"],
    bodies.changeArguments,
  ),

  get(`${definition}/snapshots`, { snapshotList: views.snapshotList }),
  command(
    "POST",
    `${definition}/snapshots`,
    { snapshotCreate: snapshots.snapshotCreate },
    createSnapshot,
    bodies.snapshotArguments,
  ),
  command(
    "POST",
    "actions/snapshot/multi",
    { multiSnapshot: snapshots.multiSnapshot },
    createSnapshot,
    bodies.multiSnapshotArguments,
  ),
  get(snapshot, { snapshotGet: views.snapshotGet }),
  command(
    "PUT",
    snapshot,
    { snapshotModify: snapshots.snapshotModify },
    modifySnapshot,
    bodies.changeArguments,
  ),
  command(
    "DELETE",
    snapshot,
    { snapshotDelete: snapshots.snapshotDelete },
    [200, "delete", "snapshot"],
    undefined,
  ),
  command(
    "POST",
    `${definition}/snapshot-rollback/:snapshot`,
    { snapshotRollback: rollback.snapshotRollback },
    modifySnapshot,
    bodies.rollbackArguments,
    true,
  ),
  command(
    "POST",
    `${definition}/snapshot-restore-volume-definition/:snapshot`,
    { restoreVolumeDefinition },
    [200, "create", "volume definition"],
    bodies.restoreArguments,
  ),
  command(
    "POST",
    `${definition}/snapshot-restore-resource/:snapshot`,
    { restoreResource },
    [200, "create", "resource"],
    bodies.restoreArguments,
  ),
].flat();

/** The route of a request, and the names in its path. */
export function routeOf(
  verb: string,
  path: string,
): { route: Route; at: Record<string, string> } | undefined {
  for (const route of routes) {
    const match = route.verb === verb ? route.pattern.exec(path) : null;
    if (!match) continue;
    const at = Object.entries(match.groups ?? {}).map(([name, value]) => [name, decoded(value)]);
    return { route, at: Object.fromEntries(at) as Record<string, string> };
  }
  return undefined;
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
