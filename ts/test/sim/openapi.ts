// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFileSync } from "node:fs";
import type { AnySchema, ValidateFunction } from "ajv";
import { Ajv2019 } from "ajv/dist/2019.js";
import { parse } from "yaml";

type Row = Record<string, unknown>;

interface Operation {
  readonly path: string;
  readonly pattern: RegExp;
  readonly parameters: readonly Row[];
  readonly body: ValidateFunction | undefined;
  /** By HTTP status; undefined where the description has no schema. */
  readonly replies: ReadonlyMap<string, ValidateFunction | undefined>;
}

/** One exchange, as the simulator sees it. */
export interface Exchange {
  readonly verb: string;
  /** With the query, without host. */
  readonly url: string;
  /** Undefined for none. */
  readonly body: unknown;
}

/** A description of a REST API, OpenAPI 3.0: what does a request or a reply have that it does not know? */
export class OpenApi {
  readonly #ajv: Ajv2019;
  readonly #document: Row;
  readonly #operations = new Map<string, Operation[]>();

  /** From a YAML or JSON document. */
  constructor(text: string) {
    const { open, ...document } = prepared(text);
    this.#document = document;
    (document["components"] as Row)["open"] = open;
    this.#ajv = new Ajv2019({
      strict: false,
      allErrors: true,
      formats: { int32: true, int64: true, double: true, "date-time": true, password: true },
    });
    this.#ajv.addSchema(this.#document, "api");
    for (const [path, item] of Object.entries(this.#document["paths"] as Record<string, Row>))
      this.#add(path, item);
  }

  /** The file that `LINSTOR_OPENAPI` names; undefined without it. */
  static fromEnvironment(): OpenApi | undefined {
    const path = process.env["LINSTOR_OPENAPI"];
    return path ? new OpenApi(readFileSync(path, "utf8")) : undefined;
  }

  /** What is wrong with a request: one line each. */
  request({ verb, url, body }: Exchange): string[] {
    const [path = "", query = ""] = url.split("?", 2);
    const operation = this.#find(verb, path);
    const what = `${verb} ${url}`;
    if (!operation) return [`${what}: not described`];
    const found: string[] = [];
    for (const [name, value] of new URLSearchParams(query)) {
      const parameter = operation.parameters.find((one) => one["in"] === "query" && one["name"] === name);
      if (!parameter) found.push(`${what}: unknown member '${name}' of the query`);
      else if (!fits(parameter["schema"] as Row | undefined, value))
        found.push(`${what}: '${name}=${value}'`);
    }
    if (body === undefined) return found;
    if (!operation.body) return [...found, `${what}: a body is not described`];
    return [...found, ...problems(operation.body, body, `${what}: body`)];
  }

  /** What is wrong with a reply: one line each. */
  reply({ verb, url }: Exchange, status: number, text: string): string[] {
    const operation = this.#find(verb, url.split("?")[0] ?? "");
    const what = `${verb} ${url}: reply ${status}`;
    if (!operation) return [`${what}: not described`];
    // Errors that are described nowhere have the form of the others.
    const validate = operation.replies.get(String(status)) ?? operation.replies.get("500");
    if (!validate) return [];
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return [`${what}: is no JSON`];
    }
    return problems(validate, value, what);
  }

  #find(verb: string, path: string): Operation | undefined {
    return this.#operations.get(verb.toUpperCase())?.find(({ pattern }) => pattern.test(path));
  }

  #add(path: string, item: Row): void {
    const pattern = new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, "[^/]+")}$`);
    for (const verb of ["get", "post", "put", "delete"]) {
      const described = item[verb] as Row | undefined;
      if (!described) continue;
      const at = `#/paths/${path.replaceAll("~", "~0").replaceAll("/", "~1")}/${verb}`;
      const parameters = [...list(item["parameters"]), ...list(described["parameters"])].map((one) =>
        this.#deref(one),
      );
      const replies = new Map<string, ValidateFunction | undefined>();
      for (const [status, response] of Object.entries(
        (described["responses"] ?? {}) as Record<string, Row>,
      )) {
        const place = typeof response["$ref"] === "string" ? response["$ref"] : `${at}/responses/${status}`;
        replies.set(status, this.#content(place));
      }
      const body = described["requestBody"] ? this.#content(`${at}/requestBody`) : undefined;
      const operations = this.#operations.get(verb.toUpperCase()) ?? [];
      // Fixed words before names.
      operations.push({ path, pattern, parameters, body, replies });
      operations.sort((one, other) => names(one.path) - names(other.path));
      this.#operations.set(verb.toUpperCase(), operations);
    }
  }

  /** Validates the JSON content of a body or a reply; undefined when it has none. */
  #content(place: string): ValidateFunction | undefined {
    const holder = this.#deref({ $ref: place });
    const schema = ((holder["content"] as Row | undefined)?.["application/json"] as Row | undefined)?.[
      "schema"
    ];
    if (schema === undefined) return undefined;
    return this.#ajv.compile(absolute(schema) as AnySchema);
  }

  #deref(value: Row): Row {
    if (typeof value["$ref"] !== "string") return value;
    let found: unknown = this.#document;
    for (const part of value["$ref"].slice(2).split("/"))
      found = (found as Row)[part.replaceAll("~1", "/").replaceAll("~0", "~")];
    return this.#deref(found as Row);
  }
}

function list(value: unknown): Row[] {
  return (value ?? []) as Row[];
}

function names(path: string): number {
  return path.split("{").length;
}

/**
 * Stricter and more patient than the text: objects with members have no others, as the service has it for requests, also
 * those put together of several; and of alternatives more than one may fit, because they are not told apart.
 */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const { oneOf, allOf, ...own } = schema as Row;
  const row = Object.fromEntries(Object.entries(own).map(([key, value]) => [key, closed(value)])) as Row;
  if (Array.isArray(oneOf)) row["anyOf"] = oneOf.map(closed);
  if (Array.isArray(allOf)) return { ...row, allOf: allOf.map(opened), unevaluatedProperties: false };
  if (row["type"] !== "object" || typeof row["properties"] !== "object") return row;
  return { additionalProperties: false, ...row };
}

/** One of those that are put together: without the ban on members that others have. */
function opened(schema: unknown): unknown {
  const { $ref } = schema as Row;
  if (typeof $ref === "string") return { $ref: $ref.replace("/schemas/", "/open/") };
  const { additionalProperties: _, ...row } = closed(schema) as Row;
  return row;
}

/** The document, with a second, open form of its schemas. */
function prepared(text: string): Row {
  const document = parse(text) as Row;
  const { schemas = {}, ...others } = (document["components"] ?? {}) as Record<string, Row>;
  const open = Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, opened(schema)]));
  const rest = closed({ ...document, components: { ...others, schemas } }) as Row;
  return { ...rest, open };
}

/** With references into the whole document. */
function absolute(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(absolute);
  if (typeof schema !== "object" || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) =>
      key === "$ref" && typeof value === "string" ? [key, `api${value}`] : [key, absolute(value)],
    ),
  );
}

function fits(schema: Row | undefined, value: string): boolean {
  const item = schema?.["type"] === "array" ? (schema["items"] as Row) : schema;
  if (item?.["type"] === "boolean") return /^(?:true|false)$/i.test(value);
  return item?.["type"] !== "integer" || /^-?[0-9]+$/.test(value);
}

function problems(validate: ValidateFunction, value: unknown, what: string): string[] {
  if (validate(value)) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${what}${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}
