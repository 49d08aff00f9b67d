import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { untilFile } from "./files.ts";

test("untilFile: there already, there later, never there; a folder that is not there is left to whose it is", async () => {
  const dir = await mkdtemp(join(tmpdir(), "cni-files-"));
  const path = join(dir, "status/k8s default%2Fnginx eth0");
  const any = () => true;
  expect(await untilFile(path, 20, any)).toBe(false);
  const waiting = untilFile(path, 10_000, any);
  expect(await readdir(dir)).toEqual([]);
  await mkdir(join(dir, "status"));
  await writeFile(path, "{}");
  expect(await waiting).toBe(true);
  expect(await untilFile(path, 0, any)).toBe(true);
  expect(await untilFile(join(dir, "other"), 20, any)).toBe(false);
  await rm(dir, { recursive: true });
});

test("untilFile: a file with another content is waited over", async () => {
  const dir = await mkdtemp(join(tmpdir(), "cni-files-"));
  const path = join(dir, "status");
  await writeFile(path, "old");
  const isNew = (content: string) => content === "new";
  expect(await untilFile(path, 0, isNew)).toBe(false);
  const waiting = untilFile(path, 10_000, isNew);
  await writeFile(`${path}.new`, "new");
  await rename(`${path}.new`, path);
  expect(await waiting).toBe(true);
  await rm(dir, { recursive: true });
});
