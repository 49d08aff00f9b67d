import { expect, test } from "vitest";
import { convertPorts } from "./policy-ports.ts";

test.for<{ name: string; list: unknown[]; want: string }>([
  { name: "none is any traffic", list: [], want: "any" },
  { name: "an empty one is any traffic, whatever else there is", list: [{ port: 80 }, {}], want: "any" },
  { name: "a port without protocol is TCP", list: [{ port: 80 }], want: "TCP 80" },
  { name: "a protocol without port is all its ports", list: [{ protocol: "UDP" }], want: "UDP *" },
  {
    name: "all its ports, whatever else",
    list: [{ protocol: "UDP", port: 1 }, { protocol: "UDP" }, { protocol: "UDP", port: 2 }],
    want: "UDP *",
  },
  {
    name: "protocols are sorted",
    list: [
      { protocol: "UDP", port: 53 },
      { protocol: "SCTP", port: 7 },
      { protocol: "TCP", port: 53 },
    ],
    want: "SCTP 7; TCP 53; UDP 53",
  },
  { name: "a range", list: [{ port: 80, endPort: 90 }], want: "TCP 80:90" },
  { name: "a range of one", list: [{ port: 80, endPort: 80 }], want: "TCP 80" },
  {
    name: "names first, ranges joined",
    list: [{ port: 83 }, { port: "http" }, { port: 80, endPort: 81 }, { port: 82 }, { port: 443 }, { port: "a" }],
    want: "TCP http,a,80:83,443",
  },
  {
    name: "ranges within each other",
    list: [
      { port: 10, endPort: 100 },
      { port: 20, endPort: 30 },
    ],
    want: "TCP 10:100",
  },
  { name: "a number in text", list: [{ port: "8080" }], want: "TCP 8080" },
  { name: "no port", list: ["80"], want: "f[0]: expected a port" },
  { name: "zero", list: [{ port: 0 }], want: "f[0].port: 0 is not within 1 to 65535" },
  { name: "too large", list: [{ port: 1 }, { port: 70000 }], want: "f[1].port: 70000 is not within 1 to 65535" },
  { name: "a range that runs backwards", list: [{ port: 90, endPort: 80 }], want: "f[0].endPort: 80 is not within 90 to 65535" },
  { name: "a named range", list: [{ port: "http", endPort: 80 }], want: 'f[0].endPort: a named port ("http") has no range' },
  { name: "endPort alone", list: [{ endPort: 80 }], want: "f[0].endPort: needs a port" },
  { name: "an odd name", list: [{ port: "ht tp" }], want: 'f[0].port: "ht tp" is not a port\'s name' },
  { name: "an unknown protocol", list: [{ protocol: "ICMP" }], want: 'f[0].protocol: "ICMP" is none of TCP, UDP, SCTP' },
])("convertPorts: $name", ({ list, want }) => {
  const got = convertPorts(list, "f");
  const print = (p: { protocol: string | undefined; ports: readonly unknown[] | undefined }) =>
    p.protocol === undefined ? "any" : `${p.protocol} ${p.ports?.join(",") ?? "*"}`;
  expect(got.ok ? got.value.map(print).join("; ") : got.error).toBe(want);
});
