import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { StatusFiles } from "../ports.ts";

/** Files in a folder, which is made if need be. A file appears whole: it is written beside and moved. */
export function openStatusFiles(dir: string): StatusFiles {
  const hidden = (file: string): string => join(dir, `.${file}.new`);
  return {
    async list() {
      await mkdir(dir, { recursive: true });
      return (await readdir(dir)).filter((file) => !file.startsWith("."));
    },
    async write(file, body) {
      await writeFile(hidden(file), body);
      await rename(hidden(file), join(dir, file));
    },
    remove: (file) => rm(join(dir, file), { force: true }),
  };
}
