import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { untilFile } from "./files.ts";

test("untilFile: there already, there later (in a folder made meanwhile), never there", async () => {
  const dir = await mkdtemp(join(tmpdir(), "cni-files-"));
  const path = join(dir, "status/k8s default%2Fnginx eth0");
  const waiting = untilFile(path, 10_000);
  await writeFile(path, "{}");
  expect(await waiting).toBe(true);
  expect(await untilFile(path, 0)).toBe(true);
  expect(await untilFile(join(dir, "other"), 20)).toBe(false);
  await rm(dir, { recursive: true });
});
