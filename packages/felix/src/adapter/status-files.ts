import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { MtuFile, StatusFiles } from "../ports.ts";

/** Files in a folder, which is made if need be. A file appears whole: it is written beside and moved. */
export function openStatusFiles(dir: string): StatusFiles {
  return {
    async list() {
      await mkdir(dir, { recursive: true });
      return (await readdir(dir)).filter((file) => !file.startsWith("."));
    },
    write: (file, body) => replaceFile(join(dir, file), body),
    remove: (file) => rm(join(dir, file), { force: true }),
  };
}

/** The file of the pods' MTU. */
export function openMtuFile(path: string): MtuFile {
  return { write: (mtu) => replaceFile(path, `${mtu}\n`) };
}

/** Synchronous: a pod's start waits for it, and trips to other threads take longer than the writes. */
async function replaceFile(path: string, body: string): Promise<void> {
  const beside = join(dirname(path), `.${basename(path)}.new`);
  try {
    writeFileSync(beside, body);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(beside, body);
  }
  renameSync(beside, path);
}
