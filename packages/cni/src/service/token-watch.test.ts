import { expect, test } from "vitest";
import type { TokenExpiry } from "../domain/token-health.ts";
import { makeTokenWatch } from "./token-watch.ts";

test("makeTokenWatch: each end is logged once, the metric counts on, a new token makes it good again", () => {
  const state: { expiry: TokenExpiry; nowMs: number } = { expiry: { at: "known", expiresAtMs: 10_000 }, nowMs: 0 };
  const gauge: number[] = [];
  const warned: string[] = [];
  const look = makeTokenWatch({
    expiry: () => state.expiry,
    nowMs: () => state.nowMs,
    metrics: { set: (_, value) => void gauge.push(value) },
    log: { info: () => {}, warn: (message) => void warned.push(message) },
  });
  const seen = [0, 9000, 10_000, 20_000].map((nowMs) => ((state.nowMs = nowMs), look().ok));
  state.expiry = { at: "known", expiresAtMs: 60_000 };
  seen.push(look().ok);
  state.nowMs = 70_000;
  seen.push(look().ok);
  expect(seen).toEqual([true, true, false, false, true, false]);
  expect(gauge).toEqual([10, 1, 0, -10, 40, -10]);
  expect(warned).toEqual(["kube token unusable", "kube token unusable"]);
});
