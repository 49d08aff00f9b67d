import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { endSoon } from "./end-soon.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("endSoon: work that hangs is cut off a second after the signal, not before", async () => {
  const abort = new AbortController();
  let ended = false;
  const done = endSoon(new Promise(() => {}), abort.signal).then(() => (ended = true));
  await vi.advanceTimersByTimeAsync(60_000);
  abort.abort();
  await vi.advanceTimersByTimeAsync(999);
  expect(ended).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await done;
});

test("endSoon: work that ends ends it, and its failure is its failure", async () => {
  const { signal } = new AbortController();
  await endSoon(Promise.resolve(), signal);
  await expect(endSoon(Promise.reject(new Error("broken")), signal)).rejects.toThrow("broken");
  expect(vi.getTimerCount()).toBe(0);
});
