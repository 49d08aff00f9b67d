import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openDeleteQueue } from "./delete-queue.ts";

test("deletes on disk: only root's, one per container, readable again, removable twice", async () => {
  const dir = join(await mkdtemp(join(tmpdir(), "cni-queue-")), "cni-deletes");
  const queue = openDeleteQueue(dir);
  expect(queue.list()).toEqual([]);
  const entry = {
    plugin: "calico",
    env: { CNI_CONTAINERID: "c1", CNI_IFNAME: "eth0" },
    conf: { name: "n" },
    queuedAt: "2026-08-01T10:00:00Z",
  } as const;
  for (let i = 0; i < 2; i++) expect(queue.put(entry)).toBe(true);
  const name = "c1@eth0@calico.json";
  expect(queue.list()).toEqual([{ name, entry }]);
  expect((await stat(join(dir, name))).mode & 0o777).toBe(0o600);
  expect((await stat(dir)).mode & 0o777).toBe(0o700);
  await writeFile(join(dir, "broken.json"), "{");
  expect(queue.list()).toContainEqual({ name: "broken.json", entry: undefined });
  for (let i = 0; i < 2; i++) queue.remove(name);
  expect(queue.list()).toHaveLength(1);
  await rm(join(dir, ".."), { recursive: true });
});
