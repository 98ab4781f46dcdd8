// SPDX-License-Identifier: AGPL-3.0-or-later

/** Severity, with the number that journald reads from a `<N>` prefix. */
const levels = { error: 3, warn: 4, info: 6, debug: 7 } as const;
export type Level = keyof typeof levels;

export type Fields = Record<string, unknown>;

/** Structured log: one JSON object per line, secrets removed. */
export interface Logger {
  error(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  debug(message: string, fields?: Fields): void;
  /** A logger that adds `fields` to each line. */
  with(fields: Fields): Logger;
}

export interface LogOptions {
  /** Least severe level that is written; default `info`. */
  level?: Level;
  /** Put journald's `<N>` in front of each line. */
  journal?: boolean;
  write?: (line: string) => void;
}

const secretKey = /pass(?:word|wd|phrase)?|secret|token|credential|authorization|chap|api[-_]?key|private/i;

/** A logger that writes to standard error unless told otherwise. */
export function createLogger(options: LogOptions = {}): Logger {
  const write = options.write ?? ((line: string) => void process.stderr.write(line));
  const threshold = levels[options.level ?? "info"];
  const make = (base: Fields): Logger => {
    const emit = (level: Level, message: string, fields?: Fields) => {
      if (levels[level] > threshold) return;
      const record = { time: new Date().toISOString(), level, message, ...redact({ ...base, ...fields }) };
      write(`${options.journal ? `<${levels[level]}>` : ""}${JSON.stringify(record)}\n`);
    };
    return {
      error: (message, fields) => emit("error", message, fields),
      warn: (message, fields) => emit("warn", message, fields),
      info: (message, fields) => emit("info", message, fields),
      debug: (message, fields) => emit("debug", message, fields),
      with: (fields) => make({ ...base, ...fields }),
    };
  };
  return make({});
}

/** A logger that says everything to both. */
export function teeLogger(one: Logger, other: Logger): Logger {
  const emit = (level: Level) => (message: string, fields?: Fields) => {
    one[level](message, fields);
    other[level](message, fields);
  };
  return {
    error: emit("error"),
    warn: emit("warn"),
    info: emit("info"),
    debug: emit("debug"),
    with: (fields) => teeLogger(one.with(fields), other.with(fields)),
  };
}

/** A logger that drops everything. */
export const silentLogger: Logger = createLogger({ write: () => {} });

/** Copies `value` for the log: secrets by key name become `***`, errors become code, message and cause. */
export function redact(value: Fields): Fields {
  return redactValue(value, 0) as Fields;
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value === null || typeof value !== "object") return value;
  if (depth > 6) return "…";
  if (value instanceof Error) {
    return {
      code: (value as { code?: unknown }).code,
      message: value.message,
      ...(value.cause === undefined ? {} : { cause: redactValue(value.cause, depth + 1) }),
    };
  }
  if (Array.isArray(value)) return value.map((item) => redactValue(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      secretKey.test(key) && item !== undefined ? "***" : redactValue(item, depth + 1),
    ]),
  );
}
