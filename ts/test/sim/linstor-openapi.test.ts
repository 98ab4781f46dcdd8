// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { routes } from "../../sim/linstor/routes.js";
import { type Session, session } from "./linstor.js";
import { OpenApi } from "./openapi.js";

const description = `
openapi: 3.0.2
info: {title: t, version: "1"}
paths:
  /v1/things/{thing}:
    parameters: [{name: thing, in: path, required: true, schema: {type: string}}]
    get:
      parameters: [{name: deep, in: query, schema: {type: boolean}}]
      responses:
        "200": {description: d, content: {application/json: {schema: {$ref: "#/components/schemas/Whole"}}}}
        "500": {$ref: "#/components/responses/Failed"}
    put:
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Part"}}}}
      responses: {"200": {description: d}}
components:
  responses:
    Failed: {description: d, content: {application/json: {schema: {type: array, items: {type: string}}}}}
  schemas:
    Part: {type: object, required: [name], properties: {name: {type: string}, inner: {$ref: "#/components/schemas/Part"}}}
    Whole: {allOf: [{$ref: "#/components/schemas/Part"}, {type: object, properties: {size: {type: integer, format: int64}}}]}
`;

test("a description finds what it does not know in requests and replies", (t) => {
  const api = new OpenApi(description);
  const problems = (verb: string, url: string, body?: unknown) => api.request({ verb, url, body }).join();
  t.is(problems("GET", "/v1/things/a?deep=true"), "");
  t.regex(problems("GET", "/v1/things/a?deep=maybe"), /deep=maybe/);
  t.regex(problems("GET", "/v1/things/a?far=1"), /unknown member 'far' of the query/);
  t.regex(problems("GET", "/v1/others"), /not described/);
  t.regex(problems("DELETE", "/v1/things/a"), /not described/);
  t.is(problems("PUT", "/v1/things/a", { name: "x", inner: { name: "y" } }), "");
  t.regex(problems("PUT", "/v1/things/a", { name: 1 }), /name must be string/);
  t.regex(problems("PUT", "/v1/things/a", {}), /must have required property 'name'/);
  t.regex(problems("PUT", "/v1/things/a", { name: "x", inner: { name: "y", more: 1 } }), /additional/);
  const reply = (status: number, text: string) =>
    api.reply({ verb: "GET", url: "/v1/things/a", body: undefined }, status, text).join();
  t.is(reply(200, '{"name":"a","size":1}'), "");
  t.regex(reply(200, '{"name":"a","more":1}'), /unevaluated/);
  t.regex(reply(200, "<html>"), /no JSON/);
  t.is(reply(500, '["no"]'), "");
  t.regex(reply(404, "{}"), /must be array/);
});

const published = OpenApi.fromEnvironment();
const maybe = published ? test : test.skip;
const reason = published ? "" : " [not run: LINSTOR_OPENAPI does not name the description]";

/** A session whose exchanges are compared with the description. */
async function watched(
  t: Parameters<typeof session>[0],
  api: OpenApi,
): Promise<{ s: Session; wrong: string[] }> {
  const wrong: string[] = [];
  const s = await session(t, {
    watch: (exchange) => {
      if (!exchange.url.startsWith("/v1/")) return;
      // The service's own clients write node types in capitals, the description does not.
      const text = exchange.text.replaceAll('"type":"SATELLITE"', '"type":"Satellite"');
      wrong.push(...api.request(exchange), ...api.reply(exchange, exchange.status, text));
    },
  });
  return { s, wrong };
}

maybe(`every request that the simulator knows is described${reason}`, (t) => {
  const api = published as OpenApi;
  const definition = "resource-definitions/0";
  const unknown = routes.flatMap(({ verb, path }) => {
    const url = `/v1/${path.replaceAll(/:[a-z]+/g, "0")}`;
    return api.request({ verb, url, body: undefined });
  });
  // The service has them; its description does not. A driver can do with the lists.
  const single = [
    "nodes/0",
    "resource-groups/0",
    definition,
    `${definition}/volume-definitions/0`,
    `${definition}/resources/0`,
  ];
  t.deepEqual(
    unknown,
    single.map((path) => `GET /v1/${path}: not described`),
  );
});

maybe(`a life's requests and replies are as described${reason}`, async (t) => {
  const { s, wrong } = await watched(t, published as OpenApi);
  const a = "resource-definitions/vm-100-disk-1";
  await s.do("POST", "resource-groups", { name: "more", select_filter: { place_count: 1 } });
  await s.do("POST", "resource-groups/more/volume-groups", {});
  await s.do("PUT", "resource-groups/more", { override_props: { "Aux/a": "b" } });
  await s.spawn("vm-100-disk-1", 8192, {
    definitions_only: true,
    resource_definition_props: { "Aux/x": "1" },
  });
  await s.do("POST", `${a}/resources/pve2/make-available`, { diskful: true });
  await s.do("POST", `${a}/autoplace`, { select_filter: {} });
  await s.do("POST", `${a}/resources/pve3/make-available`, { diskful: false });
  await s.do("PUT", `${a}/resource-connections/pve2/pve3`, {
    override_props: { "DrbdOptions/Net/allow-two-primaries": "yes" },
  });
  await s.do("PUT", a, { override_props: { "Aux/y": "2" }, delete_props: ["Aux/x"] });
  await s.do("PUT", `${a}/volume-definitions/0`, { size_kib: 16384 });
  await s.do("POST", `${a}/snapshots`, { name: "one" });
  await s.do("POST", "actions/snapshot/multi", {
    snapshots: [{ resource_name: "vm-100-disk-1", name: "two" }],
  });
  await s.do("PUT", `${a}/snapshots/two`, { override_props: { "Aux/z": "3" } });
  await s.do("POST", "resource-definitions", {
    resource_definition: { name: "copy", layer_data: [{ type: "STORAGE" }] },
  });
  await s.do("POST", `${a}/snapshot-restore-volume-definition/one`, { to_resource: "copy" });
  await s.do("POST", `${a}/snapshot-restore-resource/one`, { to_resource: "copy", nodes: ["pve2"] });
  await s.raw("POST", `/v1/${a}/clone`, { name: "clone", override_props: { "Aux/x": "4" } });
  await s.do("POST", `${a}/snapshot-rollback/one`, { zfs_rollback_strategy: "dynamic" });
  for (const query of [
    "controller/version",
    "nodes",
    "view/storage-pools?cached=true",
    "view/resources?resources=vm-100-disk-1&nodes=pve1",
    "view/snapshots",
    "resource-groups",
    "resource-definitions?with_volume_definitions=true",
    `${a}/volume-definitions`,
    `${a}/resources`,
    `${a}/snapshots`,
    `${a}/resource-connections`,
    `${a}/resource-connections/pve2/pve3`,
    `${a}/sync-status`,
    `${a}/clone/clone`,
  ])
    await s.get(query);
  await s.raw("POST", "/v1/queries/resource-groups/query-all-size-info", {});
  await s.raw("POST", "/v1/resource-groups/rg1/query-size-info", { ignore_cache_older_than_sec: 60 });
  await s.raw("POST", "/v1/resource-groups/none/query-size-info", {});
  await s.raw("GET", `/v1/${a}/clone/none`);
  await s.say("DELETE", a);
  await s.do("DELETE", `${a}/resources/pve3?keep_tiebreaker=True`);
  await s.do("DELETE", `${a}/snapshots/one`);
  await s.sim.setNode("pve1", false);
  await s.get("view/resources");
  await s.get("view/storage-pools");
  await s.get("nodes");
  t.deepEqual([...new Set(wrong)], []);
});
