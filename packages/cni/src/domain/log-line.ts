/** Lines of the log file that a configuration names. Source: facts §3.2.7 (fields and defaults). */
import type { Netconf } from "./netconf.ts";

export type LogTarget = {
  readonly path: string;
  readonly maxOctets: number;
  readonly maxAgeMs: number;
  /** Older files kept beside it; 0: all. */
  readonly maxCount: number;
};
export type Level = "info" | "warn";

const DAY_MS = 86_400_000;

/** Undefined: the configuration names none. */
export function logTargetOf(conf: Netconf): LogTarget | undefined {
  if (!conf.log_file_path) return undefined;
  return {
    path: conf.log_file_path,
    maxOctets: (conf.log_file_max_size || 100) * 1024 * 1024,
    maxAgeMs: (conf.log_file_max_age || 30) * DAY_MS,
    maxCount: conf.log_file_max_count || 10,
  };
}

/** Whether the configuration's level lets a line through; what is no level counts as info. */
export function isLogged(level: Level, configured: string | undefined): boolean {
  return level === "warn" ? configured?.toLowerCase() !== "error" : !["warning", "warn", "error"].includes(configured?.toLowerCase() ?? "");
}

export function renderLogLine(o: { level: Level; message: string; fields: Readonly<Record<string, unknown>>; now: number }): string {
  const { level, message, fields, now } = o;
  return `${JSON.stringify({ time: new Date(now).toISOString(), level, component: "cni", message, ...fields })}\n`;
}

/** `cni.log` becomes `cni-2026-08-01T10-00-00.000.log`. Source: gopkg.in/natefinch/lumberjack.v2 (backupName). */
export function rotatedName(path: string, now: number): string {
  const { stem, suffix } = split(path);
  return `${stem}-${new Date(now).toISOString().replaceAll(":", "-").replace("Z", "")}${suffix}`;
}

/** The time in a name that `rotatedName` made of this path; undefined for other files. */
export function timeOfRotated(path: string, name: string): number | undefined {
  const { stem, suffix } = split(path);
  const prefix = `${stem.slice(stem.lastIndexOf("/") + 1)}-`;
  if (!name.startsWith(prefix) || !name.endsWith(suffix)) return undefined;
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3})$/.exec(name.slice(prefix.length, name.length - suffix.length));
  return match === null ? undefined : Date.parse(`${match[1]}T${match[2]}:${match[3]}:${match[4]}Z`);
}

function split(path: string): { stem: string; suffix: string } {
  const dot = path.lastIndexOf(".");
  return dot > path.lastIndexOf("/") + 1 ? { stem: path.slice(0, dot), suffix: path.slice(dot) } : { stem: path, suffix: "" };
}
