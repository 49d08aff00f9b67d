/** Deletes that wait, as files that only root can read, so that they outlive the agent. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseQueuedDelete, queueName } from "../domain/queued-delete.ts";
import type { DeleteQueue, WaitingDelete } from "../ports.ts";

const MAX_ENTRIES = 10_000;
/** With the rest of the name, and whatever a file system adds, this is below its 255 octets. */
const MAX_CONTAINER_CHARACTERS = 128;

export function openDeleteQueue(folder: string): DeleteQueue {
  const names = () => readNames(folder);
  const pathOf = (name: string) => join(folder, fileName(name));
  const remove = (name: string) => rmSync(pathOf(name), { force: true });
  return {
    put(entry) {
      const name = fileName(queueName(entry));
      const known = names();
      if (known.length >= MAX_ENTRIES && !known.includes(name)) return false;
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const draft = join(folder, `.${name}`);
      writeFileSync(draft, JSON.stringify(entry), { mode: 0o600 });
      renameSync(draft, join(folder, name));
      return true;
    },
    list: () => names().flatMap((name) => readEntry(folder, name)),
    has: (name) => existsSync(pathOf(name)),
    remove,
    removeOf(containerId) {
      const own = fileName(`${containerId}@`);
      for (const name of names()) if (name.startsWith(own)) remove(name);
    },
  };
}

/** A container's name that is too long for a file's is its hash. */
function fileName(name: string): string {
  const container = name.split("@", 1)[0] ?? "";
  if (container.length <= MAX_CONTAINER_CHARACTERS) return name;
  return createHash("sha256").update(container).digest("hex") + name.slice(container.length);
}

/** None if it went meanwhile. */
function readEntry(folder: string, name: string): readonly WaitingDelete[] {
  try {
    return [{ name, entry: parseQueuedDelete(readFileSync(join(folder, name), "utf8")) }];
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return [];
    return [{ name, entry: undefined, problem: new Error(`cannot read ${join(folder, name)}: ${(e as Error).message}`) }];
  }
}

function readNames(folder: string): readonly string[] {
  // Nearly never there, and to fail costs more than to look.
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => name.endsWith(".json") && !name.startsWith("."));
}
