/** Files put in place whole or not at all, with a record of what was there before, so that all of it can be undone. */
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";

const RECORD = ".calico-installed.json";
const BACKUP = ".before-calico";

export type Placed = "placed" | "same";

/** Put `content` at `path`. What another had there is kept beside it, once. */
export function place(path: string, content: Buffer | string, mode: number): Placed {
  mkdirSync(dirname(path), { recursive: true });
  const record = readRecord(dirname(path));
  const name = basename(path);
  const before = existsSync(path) ? readFileSync(path) : undefined;
  const isOurs = record.includes(name);
  if (before !== undefined && !isOurs) copyFileSync(path, path + BACKUP);
  if (!isOurs) writeRecord(dirname(path), [...record, name]);
  if (before !== undefined && before.equals(Buffer.from(content)) && (statSync(path).mode & 0o777) === mode) return "same";
  const draft = join(dirname(path), `.${name}.new`);
  writeFileSync(draft, content, { mode, flush: true });
  renameSync(draft, path);
  return "placed";
}

/** Take a file away that another put there, and keep it aside for `undo`; one of ours just goes. False: there is none. */
export function displace(path: string): boolean {
  if (!existsSync(path)) return false;
  const record = readRecord(dirname(path));
  const name = basename(path);
  if (record.includes(name)) {
    rmSync(path);
    return true;
  }
  writeRecord(dirname(path), [...record, name]);
  renameSync(path, path + BACKUP);
  return true;
}

/** Take away what `place` put into a folder, and put back what was there before. The names of what changed are the answer. */
export function undo(folder: string): readonly string[] {
  const record = readRecord(folder);
  for (const name of record) {
    const path = join(folder, name);
    if (existsSync(path + BACKUP)) renameSync(path + BACKUP, path);
    else rmSync(path, { force: true });
  }
  rmSync(join(folder, RECORD), { force: true });
  return record;
}

/** A folder that is there and can be written to. A host folder that was not mounted is not made up. */
export function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return statSync(folder).isDirectory();
  } catch {
    return false;
  }
}

function readRecord(folder: string): readonly string[] {
  const path = join(folder, RECORD);
  if (!existsSync(path)) return [];
  const names: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (!Array.isArray(names) || !names.every((n) => typeof n === "string" && n === basename(n) && n !== ".."))
    throw new Error(`Cannot read ${path}: expected a list of file names; remove it to install anew`);
  return names as string[];
}

function writeRecord(folder: string, names: readonly string[]): void {
  const path = join(folder, RECORD);
  writeFileSync(`${path}.new`, JSON.stringify(names), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
