import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { rotatedName, timeOfRotated } from "../domain/log-line.ts";
import { appendToLog } from "./log-file.ts";

test("appendToLog: makes its folder, renames a full file, keeps as many as asked for", async () => {
  const dir = await mkdtemp(join(tmpdir(), "cni-log-"));
  const path = join(dir, "deep/cni.log");
  const target = { path, maxOctets: 20, maxAgeMs: 1e12, maxCount: 2 };
  expect(appendToLog(target, "one line of log\n")).toBeUndefined();
  for (const time of [1e12, 2e12]) await writeFile(rotatedName(path, time), "old");
  await writeFile(join(dir, "deep/cni-other.log"), "not ours");
  appendToLog(target, "second line\n");
  expect(await readFile(path, "utf8")).toBe("second line\n");
  const names = (await readdir(join(dir, "deep"))).sort();
  expect(names).toHaveLength(4);
  expect(names).toContain("cni-other.log");
  expect(names).not.toContain(rotatedName("cni.log", 1e12));
  expect(appendToLog({ ...target, path: dir }, "x")).toBeInstanceOf(Error);
  await rm(dir, { recursive: true });
});

test.for(["cni.log", "/var/log/calico/cni/cni.log", "/var/log.d/cni"])("rotatedName: %s and back", (path) => {
  const name = rotatedName(path, 1_785_585_600_123).split("/").at(-1)!;
  expect(timeOfRotated(path, name)).toBe(1_785_585_600_123);
  expect(timeOfRotated(path, "cni-x.log")).toBeUndefined();
});
