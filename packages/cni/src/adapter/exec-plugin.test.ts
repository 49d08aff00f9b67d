import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseCall } from "../domain/env.ts";
import { anEnvironment } from "../testing.ts";
import { execPlugin } from "./exec-plugin.ts";

let dir: string;
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), "cni-exec-"))));
afterEach(() => rm(dir, { recursive: true }));

async function exec(script: string, limits = { timeoutMs: 10_000, killAfterMs: 1, drainMs: 50 }) {
  await writeFile(join(dir, "other"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return await execPlugin({ type: "other", call: parseCall(anEnvironment({ CNI_PATH: dir })), stdin: '{"a":1}' }, limits);
}

test("execPlugin: its environment, input, output and exit code", async () => {
  expect(await exec('read -r line; echo "$CNI_COMMAND $CNI_CONTAINERID $line"; exit 3')).toEqual({ exit: 3, stdout: 'ADD c1 {"a":1}\n' });
});

test("execPlugin: a process that the plugin left behind with its output open is not waited for", async () => {
  const { exit, stdout } = await exec("sleep 600 & echo $!");
  expect(exit).toBe(0);
  // Fails if it is gone: then nothing was shown.
  process.kill(Number(stdout), "SIGKILL");
});

test("execPlugin: one that does not end, not even when asked to, is ended and told", async () => {
  const never = exec("trap '' TERM; while :; do sleep 1; done", { timeoutMs: 100, killAfterMs: 1, drainMs: 1 });
  await expect(never).rejects.toMatchObject({ code: 103, message: "IPAM plugin other did not end within 0.1 s (ADD)" });
});

test("execPlugin: a long output is whole", async () => {
  const { stdout } = await exec("head -c 3000000 /dev/zero | tr '\\0' x");
  expect(stdout.length).toBe(3_000_000);
});
