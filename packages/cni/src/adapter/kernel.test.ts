import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openKernel } from "./kernel.ts";

test("a path that is no pod's namespace: the node's own by any name, a file, none, below a file, a process that is gone", async () => {
  using kernel = openKernel();
  const folder = await mkdtemp(join(tmpdir(), "cni-kernel-"));
  const file = join(folder, "pod");
  await writeFile(file, "");
  for (const own of ["/proc/self/ns/net", `/proc/${process.pid}/ns/net`]) {
    expect(kernel.isOwn(own)).toBe(true);
    expect(kernel.pod(own)).toBeUndefined();
  }
  for (const path of [file, join(folder, "none"), join(file, "x"), "/proc/4194304/ns/net", "/proc/self/status"]) {
    expect(kernel.isOwn(path)).toBe(false);
    expect(kernel.pod(path), path).toBeUndefined();
  }
  await rm(folder, { recursive: true });
});
