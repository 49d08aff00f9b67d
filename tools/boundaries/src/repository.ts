import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SourceFile } from "./rules.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../../..");

/** The files that git would commit, with their text. */
export function repositoryFiles(matching: RegExp): readonly SourceFile[] {
  const listed = execFileSync("git", ["-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });
  return listed
    .split("\0")
    .filter((path) => matching.test(path))
    .flatMap((path) => {
      const text = read(join(ROOT, path));
      return text === undefined ? [] : [{ path, text }];
    });
}

/** Undefined for a file that was deleted but not yet committed so. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
