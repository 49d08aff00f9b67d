import fc from "fast-check";
import { expect, test } from "vitest";
import { qosOf } from "./qos.ts";
import { parseQuantity } from "./quantity.ts";

const Q = "qos.projectcalico.org/";

test.for<{ name: string; annotations: Record<string, string>; want: object; problems?: number }>([
  { name: "none", annotations: {}, want: {} },
  {
    name: "bandwidth has a default burst",
    annotations: { [`${Q}ingressBandwidth`]: "10M" },
    want: { ingressBandwidth: 10_000_000, ingressBurst: 4294967296 },
  },
  {
    name: "Kubernetes' own annotation",
    annotations: { "kubernetes.io/egress-bandwidth": "1M" },
    want: { egressBandwidth: 1_000_000, egressBurst: 4294967296 },
  },
  {
    name: "ours goes first",
    annotations: { "kubernetes.io/egress-bandwidth": "1M", [`${Q}egressBandwidth`]: "2M", [`${Q}egressBurst`]: "1Mi" },
    want: { egressBandwidth: 2_000_000, egressBurst: 1048576 },
  },
  {
    name: "below the range",
    annotations: { [`${Q}ingressBandwidth`]: "1" },
    want: { ingressBandwidth: 1000, ingressBurst: 4294967296 },
    problems: 1,
  },
  {
    name: "above the range",
    annotations: { [`${Q}ingressPacketRate`]: "1M" },
    want: { ingressPacketRate: 10_000, ingressPacketBurst: 5 },
    problems: 1,
  },
  { name: "no quantity", annotations: { [`${Q}ingressBandwidth`]: "fast" }, want: {}, problems: 1 },
  { name: "connections", annotations: { [`${Q}egressMaxConnections`]: "0" }, want: { egressMaxConnections: 1 }, problems: 1 },
  {
    name: "peak rate and its burst",
    annotations: {
      [`${Q}ingressBandwidth`]: "1M",
      [`${Q}ingressBurst`]: "2M",
      [`${Q}ingressPeakrate`]: "5M",
      [`${Q}ingressMinburst`]: "10k",
    },
    want: { ingressBandwidth: 1e6, ingressBurst: 2e6, ingressPeakrate: 5e6, ingressMinburst: 10_000 },
  },
  {
    name: "peak rate not above",
    annotations: {
      [`${Q}ingressBandwidth`]: "5M",
      [`${Q}ingressBurst`]: "2M",
      [`${Q}ingressPeakrate`]: "5M",
      [`${Q}ingressMinburst`]: "10k",
    },
    want: { ingressBandwidth: 5e6, ingressBurst: 2e6 },
    problems: 2,
  },
  { name: "burst without bandwidth", annotations: { [`${Q}ingressBurst`]: "2M" }, want: {}, problems: 1 },
  { name: "DSCP by number and by name", annotations: { [`${Q}dscp`]: "af23" }, want: { dscp: "AF23" } },
  { name: "DSCP out of range", annotations: { [`${Q}dscp`]: "64" }, want: {}, problems: 1 },
])("qosOf: $name", ({ annotations, want, problems = 0 }) => {
  const qos = qosOf(annotations);
  expect(qos.controls).toEqual(want);
  expect(qos.problems).toHaveLength(problems);
});

test.for([
  ["10M", 10_000_000n],
  ["1.5Gi", 1_610_612_736n],
  ["1.01k", 1010n],
  ["500m", 1n],
  ["12e3", 12_000n],
  [".5k", 500n],
  ["0", 0n],
  ["-1k", -1000n],
  ["1P", 10n ** 15n],
  ["", undefined],
  ["k", undefined],
  ["1kk", undefined],
  ["1 M", undefined],
] as const)("parseQuantity: %s", ([text, want]) => {
  expect(parseQuantity(text)).toBe(want);
});

test("parseQuantity: any whole number is itself, and nothing makes it throw", () => {
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: 10n ** 30n }), (n) => parseQuantity(String(n)) === n));
  fc.assert(fc.property(fc.string(), (text) => (parseQuantity(text), true)));
});
