// SPDX-License-Identifier: AGPL-3.0-or-later
import { hostname } from "node:os";
import { fail } from "../../common/errors.js";
import { Secret } from "../../common/secret.js";
import { readConfigFiles, type Variables } from "./config-file.js";
import { findConfget, runConfget } from "./config-tool.js";

/** What this node's StorPool configuration says. */
export interface StorpoolConfig {
  /** Name or address of the management API, `SP_API_HTTP_HOST`. */
  readonly host: string;
  /** `SP_API_HTTP_PORT`. */
  readonly port: number;
  /** `SP_AUTH_TOKEN`. */
  readonly token: Secret;
  /** This node's client id, `SP_OURID`. */
  readonly ourId: number;
  /** `_SP_VEEAM_COMPAT`: volumes stay attached read-write after creation and after deactivation. */
  readonly veeamCompat: boolean;
  /** `_FAIL_MIGRATION_PARENT`: no activation out of a migration whose lock has vanished. */
  readonly failMigrationParent: boolean;
}

/** Where the configuration is looked for; the defaults are this machine's. */
export interface ConfigSource {
  /** Directory that stands for `/`. */
  readonly root?: string;
  /** Name of the node, as `uname -n` says it. */
  readonly node?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** The only variables that the environment overrides. */
const overridable = ["SP_AUTH_TOKEN", "SP_API_HTTP_HOST", "SP_API_HTTP_PORT"] as const;

/** What a required variable must look like, and the rule in words. */
const required = {
  SP_API_HTTP_HOST: { valid: /^[A-Za-z0-9._:-]+$/, words: "a host name or an IP address" },
  SP_API_HTTP_PORT: { valid: /^[1-9][0-9]{0,4}$/, max: 65535, words: "a number from 1 to 65535" },
  SP_AUTH_TOKEN: { valid: /^[\x21-\x7e]+$/, words: "a token without blanks" },
  SP_OURID: { valid: /^[1-9][0-9]{0,3}$/, max: 4095, words: "a number from 1 to 4095" },
} as const satisfies Record<string, { valid: RegExp; max?: number; words: string }>;

/**
 * The StorPool configuration of this node: from `storpool_confget` where it is installed, otherwise from
 * `/etc/storpool.conf` and `/etc/storpool.conf.d/*.conf`.
 *
 * @throws `invalid` when something required is missing or malformed; all of it in one message. `timeout` when the
 *   tool hangs; otherwise the code of the file system's error.
 */
export async function loadConfig(signal: AbortSignal, source: ConfigSource = {}): Promise<StorpoolConfig> {
  const { root = "/", node = hostname(), env = process.env } = source;
  const tool = await findConfget(root);
  const variables = tool === undefined ? await readConfigFiles(root, node) : await runConfget(tool, signal);
  for (const name of overridable) {
    const value = env[name]?.trim();
    if (value) variables.set(name, value);
  }
  const wrong = problems(variables);
  if (wrong.length > 0) {
    throw fail(
      "invalid",
      `read StorPool configuration: ${wrong.join(", ")}; edit /etc/storpool.conf ` +
        `(SP_OURID in its section [${node}]) or a file in /etc/storpool.conf.d`,
    );
  }
  return {
    host: (variables.get("SP_API_HTTP_HOST") ?? "").replace(/^\[(.*)\]$/, "$1"),
    port: Number(variables.get("SP_API_HTTP_PORT")),
    token: new Secret(variables.get("SP_AUTH_TOKEN") ?? ""),
    ourId: Number(variables.get("SP_OURID")),
    veeamCompat: variables.get("_SP_VEEAM_COMPAT") === "1",
    failMigrationParent: variables.get("_FAIL_MIGRATION_PARENT") === "1",
  };
}

/** What is wrong with the required variables; values are not quoted. */
function problems(variables: Variables): string[] {
  return Object.entries(required).flatMap(([name, rule]) => {
    const value = variables.get(name) ?? "";
    if (value === "") return [`${name} is missing`];
    const tooLarge = "max" in rule && Number(value) > rule.max;
    const plain = name === "SP_API_HTTP_HOST" ? value.replace(/^\[(.*)\]$/, "$1") : value;
    return rule.valid.test(plain) && !tooLarge ? [] : [`${name} must be ${rule.words}`];
  });
}
