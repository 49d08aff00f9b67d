import { expect, test } from "vitest";
import { makeKeyQueue } from "./key-queue.ts";

test("makeKeyQueue: a key is handled by one worker at a time, and once more if it was added meanwhile", async () => {
  const abort = new AbortController();
  const running = new Set<string>();
  const handled: string[] = [];
  const gates: (() => void)[] = [];
  const queue = makeKeyQueue({
    signal: abort.signal,
    onFailure: () => expect.fail("nothing fails here"),
    async handle(key) {
      expect(running.has(key)).toBe(false);
      running.add(key);
      await new Promise<void>((resolve) => gates.push(resolve));
      running.delete(key);
      handled.push(key);
    },
  });
  const done = queue.run();
  for (const key of ["a", "b", "a"]) queue.add(key);
  await expect.poll(() => gates.length).toBe(2);
  queue.add("a");
  queue.add("a");
  gates.splice(0).forEach((open) => open());
  await expect.poll(() => gates.length).toBe(1);
  gates.splice(0).forEach((open) => open());
  await expect.poll(() => queue.pending).toBe(0);
  expect(handled.toSorted()).toEqual(["a", "a", "b"]);
  abort.abort();
  await done;
});

test("makeKeyQueue: a failure is tried again with growing delays, and forgotten after success", async () => {
  const abort = new AbortController();
  const delays: number[] = [];
  let left = 3;
  const queue = makeKeyQueue({
    signal: abort.signal,
    onFailure: (_key, _error, { delayMs }) => delays.push(delayMs),
    async handle() {
      if (left-- > 0) throw new Error("not yet");
    },
  });
  const done = queue.run();
  queue.add("a");
  await expect.poll(() => queue.pending).toBe(0);
  expect(delays).toEqual([20, 40, 80]);
  expect(queue.failing).toBe(0);
  abort.abort();
  await done;
});
