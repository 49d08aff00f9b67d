import { expect, test } from "vitest";
import type { Route } from "../ports.ts";
import { routeKey, sameRoute } from "./route-identity.ts";

const blackhole: Route = { dst: "192.200.0.0/26", type: "blackhole", protocol: 179 };
const pod: Route = { dst: "192.200.0.5/32", type: "unicast", dev: "cali0", protocol: 3, metric: 1024 };
const peer: Route = { dst: "192.200.1.0/26", type: "unicast", via: "10.0.0.2", dev: "tunl0", protocol: 179, onlink: true };
const v6: Route = { dst: "fd00::/122", type: "unicast", dev: "cali0", protocol: 3 };

test.for<{ name: string; a: Route; b: Route; want: boolean }>([
  { name: "a route is itself", a: peer, b: { ...peer }, want: true },
  { name: "main is the default table", a: blackhole, b: { ...blackhole, table: 254 }, want: true },
  { name: "global is a blackhole's default scope", a: blackhole, b: { ...blackhole, scope: "global" }, want: true },
  { name: "link is the default scope without a gateway", a: pod, b: { ...pod, scope: "link" }, want: true },
  { name: "global is not", a: pod, b: { ...pod, scope: "global" }, want: false },
  { name: "1024 is the default metric of IPv6", a: v6, b: { ...v6, metric: 1024, scope: "global" }, want: true },
  { name: "and not of IPv4", a: { ...pod, metric: undefined }, b: pod, want: false },
  { name: "onlink counts", a: peer, b: { ...peer, onlink: undefined }, want: false },
  { name: "protocol counts", a: blackhole, b: { ...blackhole, protocol: 80 }, want: false },
  { name: "type counts", a: blackhole, b: { ...blackhole, type: "throw" }, want: false },
  { name: "source counts", a: pod, b: { ...pod, src: "10.0.0.1" }, want: false },
  {
    name: "the order of next hops does not, a weight of 1 is the default",
    a: {
      ...blackhole,
      type: "unicast",
      multipath: [
        { via: "10.0.0.1", dev: "a0" },
        { via: "10.0.0.2", dev: "a0", weight: 1 },
      ],
    },
    b: {
      ...blackhole,
      type: "unicast",
      multipath: [
        { via: "10.0.0.2", dev: "a0" },
        { via: "10.0.0.1", dev: "a0" },
      ],
    },
    want: true,
  },
])("sameRoute: $name", ({ a, b, want }) => {
  expect(sameRoute(a, b)).toBe(want);
  expect(sameRoute(b, a)).toBe(want);
});

test("routeKey: what the kernel keeps apart, and what not", () => {
  const keys = [pod, { ...pod, metric: 10 }, { ...pod, table: 300 }, { ...pod, dev: "cali9", protocol: 80 }].map(routeKey);
  expect(new Set(keys).size).toBe(3);
  expect(keys[3]).toBe(keys[0]);
});
