import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { queueName } from "../domain/queued-delete.ts";
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

test("deletes on disk: a container's long name, a folder among the files, all of one container", async () => {
  const folder = await mkdtemp(join(tmpdir(), "cni-queue-"));
  const queue = openDeleteQueue(folder);
  const entry = (container: string, ifName = "eth0") => ({
    plugin: "calico" as const,
    env: { CNI_CONTAINERID: container, CNI_IFNAME: ifName },
    conf: {},
    queuedAt: "2026-08-01T10:00:00Z",
  });
  const long = "a".repeat(250);
  for (const one of [entry(long), entry(`${long}b`), entry("c1"), entry("c1", "eth1"), entry("c10")]) expect(queue.put(one)).toBe(true);
  await mkdir(join(folder, "odd.json"));
  const containers = () => queue.list().flatMap(({ entry: e }) => e?.env.CNI_CONTAINERID ?? []);
  expect(
    containers()
      .map((id) => id.length)
      .sort((a, b) => a - b),
  ).toEqual([2, 2, 3, 250, 251]);
  expect(queue.list().find((e) => e.name === "odd.json")).toMatchObject({ entry: undefined, problem: expect.any(Error) });
  const listed = queue.list().find(({ entry: e }) => e?.env.CNI_CONTAINERID === long)!;
  expect([queue.has(listed.name), queue.has(queueName(entry(long)))]).toEqual([true, true]);
  queue.removeOf(long);
  queue.removeOf("c1");
  expect(queue.has(listed.name)).toBe(false);
  expect(containers().sort()).toEqual([`${long}b`, "c10"]);
  await rm(folder, { recursive: true });
});
