import { mkdtemp, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connectUnix, listenUnix } from "./unix-socket.ts";

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "unix-socket-"));
  path = join(dir, "s.sock");
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test("unix socket: a second server is refused and leaves the first in place; what a dead one left is replaced", async () => {
  const first = await listenUnix(path, (socket) => void socket.end());
  await expect(listenUnix(path, () => {})).rejects.toThrow(`Cannot listen on ${path}: another process serves it; stop that one first`);
  expect(await connectUnix(path).then((socket) => socket?.destroy() !== undefined)).toBe(true);
  await rename(path, `${path}.gone`);
  const second = await listenUnix(path, (socket) => void socket.end());
  await first[Symbol.asyncDispose]();
  expect((await stat(path)).isSocket()).toBe(true); // it is not the first one's
  await rename(`${path}.gone`, path); // nobody listens there any more
  await using third = await listenUnix(path, (socket) => void socket.end());
  await second[Symbol.asyncDispose]();
  expect((await stat(third.path)).isSocket()).toBe(true);
});
