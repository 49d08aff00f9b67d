import process from "node:process";
import { destination, pino } from "pino";

export type LogLevel = "error" | "warn" | "info" | "debug";

/** JSON lines. The message is a constant and the grep key; everything that varies is a field. */
export interface Logger {
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** A logger that writes one JSON object per line to stderr; stdout stays free for results. Secrets by their usual names are removed. */
export function makeLogger(options: { readonly component: string; readonly level?: LogLevel; readonly node?: string }): Logger {
  const sink = pino(
    {
      level: options.level ?? "info",
      base: { component: options.component, ...(options.node === undefined ? {} : { node: options.node }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: ["token", "password", "k8s_auth_token", "*.token", "*.password", "*.k8s_auth_token"], remove: true },
      serializers: { error: errorFields, err: errorFields },
    },
    destination({ fd: process.stderr.fd, sync: true }),
  );
  const at =
    (level: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
      sink[level](fields, message);
  return { error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug") };
}

function errorFields(e: unknown): unknown {
  if (!(e instanceof Error)) return e;
  const { name, message, stack } = e;
  return { name, message, stack, ...(e.cause === undefined ? {} : { cause: errorFields(e.cause) }) };
}
