/** Deletes that wait, as files that only root can read, so that they outlive the agent. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseQueuedDelete, queueName } from "../domain/queued-delete.ts";
import type { DeleteQueue } from "../ports.ts";

const MAX_ENTRIES = 10_000;

export function openDeleteQueue(folder: string): DeleteQueue {
  const names = () => readNames(folder);
  return {
    put(entry) {
      const name = queueName(entry);
      const known = names();
      if (known.length >= MAX_ENTRIES && !known.includes(name)) return false;
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const draft = join(folder, `.${name}`);
      writeFileSync(draft, JSON.stringify(entry), { mode: 0o600 });
      renameSync(draft, join(folder, name));
      return true;
    },
    list: () => names().map((name) => ({ name, entry: parseQueuedDelete(readFileSync(join(folder, name), "utf8")) })),
    remove: (name) => rmSync(join(folder, name), { force: true }),
  };
}

function readNames(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith(".json") && !name.startsWith("."));
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw e;
  }
}
