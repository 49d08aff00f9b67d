import { existsSync, readFileSync, watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";
import type { Files } from "../ports.ts";

export const files: Files = {
  read(path) {
    try {
      return readFileSync(path, "utf8").trim();
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw e;
    }
  },
  exists: existsSync,
};

/** Looked at this often besides the watch, which a folder made anew escapes. */
const POLL_MS = 500;

/** Wait for a file with a content that is accepted. Source: calico cni-plugin/internal/pkg/utils (inotify and a stat every 500 ms). */
export async function untilFile(path: string, timeoutMs: number, accept: (content: string) => boolean): Promise<boolean> {
  const isThere = () => {
    const content = files.read(path);
    return content !== undefined && accept(content);
  };
  if (isThere()) return true;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const look = () => isThere() && resolve(true);
  let watcher = watchFor(path, look);
  const poll = setInterval(() => {
    watcher ??= watchFor(path, look);
    look();
  }, POLL_MS);
  const timer = setTimeout(() => resolve(isThere()), timeoutMs);
  look();
  try {
    return await promise;
  } finally {
    watcher?.close();
    clearInterval(poll);
    clearTimeout(timer);
  }
}

/** Undefined while there is no folder: whose it is makes it, and that it is not there tells others that he has not come yet. */
function watchFor(path: string, look: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(dirname(path), (_event, name) => (name === null || name === basename(path)) && look());
    watcher.on("error", look);
    return watcher;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw e;
  }
}
