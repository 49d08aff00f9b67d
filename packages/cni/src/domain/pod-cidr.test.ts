import { expect, test } from "vitest";
import { aNetconf } from "../testing.ts";
import { parseNetconf } from "./netconf.ts";
import { usesPodCidr, withPodCidrs } from "./pod-cidr.ts";

const CIDRS = ["10.65.3.0/24", "fd65:3::/64"];

test.for<{ name: string; ipam: Record<string, unknown>; want: object; del: object }>([
  { name: "the old form", ipam: { subnet: "usePodCidr" }, want: { subnet: "10.65.3.0/24" }, del: { subnet: "0.0.0.0/0" } },
  {
    name: "ranges of both families, other fields kept",
    ipam: { ranges: [[{ subnet: "usePodCidr", rangeStart: "10.65.3.9" }], [{ subnet: "usePodCidrIPv6" }]], dataDir: "/d" },
    want: { ranges: [[{ subnet: "10.65.3.0/24", rangeStart: "10.65.3.9" }], [{ subnet: "fd65:3::/64" }]], dataDir: "/d" },
    del: { ranges: [[{ subnet: "0.0.0.0/0", rangeStart: "10.65.3.9" }], [{ subnet: "::/0" }]], dataDir: "/d" },
  },
])("withPodCidrs: $name", ({ ipam, want, del }) => {
  expect(usesPodCidr(parseNetconf(aNetconf({ ipam: { type: "host-local", ...ipam } })))).toBe(true);
  expect(withPodCidrs(ipam, CIDRS)).toEqual(want);
  expect(withPodCidrs(ipam, undefined)).toEqual(del);
});

test("withPodCidrs: a node without a range of that family", () => {
  expect(() => withPodCidrs({ subnet: "usePodCidrIPv6" }, ["10.65.3.0/24"])).toThrow(
    "no podCidr for node: Kubernetes gave it no IPv6 range",
  );
});

test("usesPodCidr: a plain subnet does not", () => {
  expect(usesPodCidr(parseNetconf(aNetconf({ ipam: { type: "host-local", subnet: "10.0.0.0/24" } })))).toBe(false);
});
