import { expect, test } from "vitest";
import { tokenHealth } from "./token-health.ts";
import type { TokenExpiry } from "./token-health.ts";

const NOW = Date.parse("2026-08-01T10:00:00Z");

test.for<{ name: string; expiry: TokenExpiry; want: string }>([
  { name: "no token", expiry: { at: "none" }, want: "ok" },
  { name: "a token that does not say", expiry: { at: "unknown" }, want: "ok not said by the token" },
  { name: "an hour to go", expiry: { at: "known", expiresAtMs: NOW + 3_600_000 }, want: "ok 2026-08-01T11:00:00.000Z 3600" },
  {
    name: "over at this very second",
    expiry: { at: "known", expiresAtMs: NOW },
    want: "degraded 2026-08-01T10:00:00.000Z 0 the token is over",
  },
  {
    name: "over since a minute",
    expiry: { at: "known", expiresAtMs: NOW - 60_000 },
    want: "degraded 2026-08-01T09:59:00.000Z -60 the token is over",
  },
  { name: "a file that is gone", expiry: { at: "unreadable", why: "Cannot read token /t" }, want: "degraded Cannot read token /t" },
])("tokenHealth: $name", ({ expiry, want }) => {
  const { ok, secondsLeft, detail } = tokenHealth(expiry, NOW);
  const said = [detail?.["expiresAt"], secondsLeft, String(detail?.["problem"] ?? "").split(":")[0] || undefined];
  expect([ok ? "ok" : "degraded", ...said.filter((s) => s !== undefined)].join(" ")).toBe(want);
});
