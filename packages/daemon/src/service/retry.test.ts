import { expect, test } from "vitest";
import { retry } from "./retry.ts";

test("retry: tries again until the action resolves, with doubling bounded delays", async () => {
  const delays: number[] = [];
  const result = await retry(
    async (attempt) => {
      if (attempt < 6) throw new Error(`no ${attempt}`);
      return attempt;
    },
    { signal: new AbortController().signal, minMs: 1, maxMs: 4, random: () => 1, onError: (_e, _n, ms) => delays.push(ms) },
  );
  expect(result).toBe(6);
  expect(delays).toEqual([1, 2, 4, 4, 4]);
});

test("retry: stops with the signal's reason", async () => {
  const abort = new AbortController();
  const run = retry(async () => Promise.reject(new Error("down")), {
    signal: abort.signal,
    minMs: 60_000,
    onError: () => abort.abort("SIGTERM"),
  });
  await expect(run).rejects.toBe("SIGTERM");
});
