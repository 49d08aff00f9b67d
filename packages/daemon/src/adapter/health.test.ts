import { expect, test } from "vitest";
import { serveHealth } from "./health.ts";
import { makeMetrics } from "./metrics.ts";

test("serveHealth: readiness follows the report, metrics come from the table", async () => {
  const metrics = makeMetrics([{ name: "felix_resyncs_started", type: "counter", help: "Resyncs." }]);
  metrics.inc("felix_resyncs_started");
  const state = { ready: false };
  await using server = await serveHealth({
    port: 0,
    metrics,
    health: () => ({ live: true, ready: state.ready, detail: { inSync: state.ready } }),
  });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
    return `${response.status} ${await response.text()}`;
  };
  expect(await get("/readiness")).toBe('503 {"live":true,"ready":false,"detail":{"inSync":false}}');
  state.ready = true;
  expect(await get("/readiness")).toMatch(/^200/);
  expect(await get("/metrics")).toMatch(/felix_resyncs_started 1/);
});

test("makeMetrics: a metric outside of the table is a bug and throws", () => {
  expect(() => makeMetrics([]).inc("x")).toThrow('Cannot record metric "x"');
});
