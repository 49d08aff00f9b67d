/** Appends to a log file that is renamed when it is full; old ones go by count and age. */
import { appendFileSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { rotatedName, timeOfRotated } from "../domain/log-line.ts";
import type { LogTarget } from "../domain/log-line.ts";

/** Each line is one write, so that lines of processes that write at once do not mix. A file that cannot be written stops no call. */
export function appendToLog(target: LogTarget, line: string): Error | undefined {
  try {
    if (sizeOf(target.path) + line.length > target.maxOctets) rotate(target);
    write(target.path, line);
    return undefined;
  } catch (e) {
    return e instanceof Error ? e : new Error(String(e));
  }
}

function write(path: string, line: string): void {
  try {
    appendFileSync(path, line, { mode: 0o600 });
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
    mkdirSync(dirname(path), { recursive: true });
    appendFileSync(path, line, { mode: 0o600 });
  }
}

function sizeOf(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true ? stat.size : 0;
}

function rotate({ path, maxAgeMs, maxCount }: LogTarget): void {
  if (sizeOf(path) === 0) return;
  const now = Date.now();
  renameSync(path, rotatedName(path, now));
  const old = readdirSync(dirname(path))
    .map((name) => ({ name, time: timeOfRotated(basename(path), name) }))
    .filter((f): f is { name: string; time: number } => f.time !== undefined)
    .toSorted((a, b) => b.time - a.time);
  for (const [i, { name, time }] of old.entries()) {
    if (i >= maxCount || now - time > maxAgeMs) rmSync(join(dirname(path), name), { force: true });
  }
}
