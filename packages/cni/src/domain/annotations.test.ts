import { expect, test } from "vitest";
import { natsOf, wishesOf } from "./annotations.ts";
import type { Wishes } from "./annotations.ts";

const P = "cni.projectcalico.org/";
const on = { ip_addrs_no_ipam: true, floating_ips: true };
const withPrefix = (o: Record<string, string>) => Object.fromEntries(Object.entries(o).map(([k, v]) => [P + k, v]));

test.for<{ name: string; pod?: Record<string, string>; namespace?: Record<string, string>; want: Partial<Wishes> }>([
  { name: "nothing", want: { addresses: undefined, pools4: undefined, mac: undefined, floatingIps: [] } },
  {
    name: "ipAddrs, v4 first",
    pod: { ipAddrs: '["fd00::5","10.0.0.5"]' },
    want: { addresses: { ips: ["10.0.0.5", "fd00::5"], pastIpam: false } },
  },
  { name: "ipAddrsNoIpam", pod: { ipAddrsNoIpam: '["10.0.0.5"]' }, want: { addresses: { ips: ["10.0.0.5"], pastIpam: true } } },
  { name: "pools of the namespace", namespace: { ipv4pools: '["a"]' }, want: { pools4: ["a"] } },
  {
    name: "pools of the pod go first",
    pod: { ipv4pools: '["p"]' },
    namespace: { ipv4pools: '["a"]', ipv6pools: '["b"]' },
    want: { pools4: ["p"], pools6: ["b"] },
  },
  { name: "families", namespace: { ipFamilies: '["IPv6"]' }, want: { families: { v4: false, v6: true } } },
  {
    name: "families of the pod go first",
    pod: { ipFamilies: '["IPv4","IPv6"]' },
    namespace: { ipFamilies: '["IPv6"]' },
    want: { families: { v4: true, v6: true } },
  },
  {
    name: "addresses are the pod's alone",
    namespace: { ipAddrs: '["10.0.0.5"]', hwAddr: "02:00:00:00:00:01" },
    want: { addresses: undefined, mac: undefined },
  },
  { name: "a MAC, in lower case", pod: { hwAddr: "0E:2F:00-aa-bb-cc" }, want: { mac: "0e:2f:00:aa:bb:cc" } },
  { name: "floating addresses", pod: { floatingIPs: '["172.16.0.1"]' }, want: { floatingIps: ["172.16.0.1"] } },
  {
    name: "source prefixes, masked",
    pod: { allowedSourcePrefixes: '["10.9.1.0/16","fd01::1"]' },
    want: { allowedSourcePrefixes: ["10.9.0.0/16", "fd01::1/128"] },
  },
])("wishesOf: $name", ({ pod = {}, namespace = {}, want }) => {
  expect(wishesOf({ pod: withPrefix(pod), namespace: withPrefix(namespace), features: on })).toMatchObject(want);
});

test.for([
  { name: "empty list", pod: { ipAddrs: "[]" }, want: 'annotation "cni.projectcalico.org/ipAddrs" specified but empty' },
  {
    name: "two of IPv4",
    pod: { ipAddrs: '["10.0.0.1","10.0.0.2"]' },
    want: 'cannot have more than one IPv4 address for "cni.projectcalico.org/ipAddrs" annotation',
  },
  {
    name: "two of IPv6",
    pod: { ipAddrsNoIpam: '["fd00::1","fd00::2"]' },
    want: 'cannot have more than one IPv6 address for "cni.projectcalico.org/ipAddrsNoIpam" annotation',
  },
  {
    name: "both",
    pod: { ipAddrs: '["10.0.0.1"]', ipAddrsNoIpam: '["10.0.0.1"]' },
    want: "can't have both annotations: 'ipAddrs' and 'ipAddrsNoIpam' in use at the same time",
  },
  {
    name: "no address",
    pod: { ipAddrs: '["ten"]' },
    want: 'failed to parse IP addresses: ten for annotation "cni.projectcalico.org/ipAddrs"',
  },
  { name: "no JSON", pod: { ipAddrs: "10.0.0.1" }, want: "failed to parse '10.0.0.1' as JSON: expected a list of strings" },
  { name: "no list", pod: { ipv4pools: '{"a":1}' }, want: "failed to parse '{\"a\":1}' as JSON: expected a list of strings" },
  {
    name: "feature off: addresses past IPAM",
    features: {},
    pod: { ipAddrsNoIpam: '["10.0.0.1"]' },
    want: "requested feature is not enabled: ip_addrs_no_ipam",
  },
  {
    name: "feature off: floating addresses",
    features: {},
    pod: { floatingIPs: '["172.16.0.1"]' },
    want: "requested feature is not enabled: floating_ips",
  },
  { name: "no MAC", pod: { hwAddr: "zz" }, want: 'failed to parse MAC address zz provided via "cni.projectcalico.org/hwAddr"' },
  {
    name: "a MAC of a group",
    pod: { hwAddr: "01:00:5e:00:00:01" },
    want: 'MAC address 01:00:5e:00:00:01 provided via "cni.projectcalico.org/hwAddr" is a multicast address',
  },
  { name: "no family", pod: { ipFamilies: '["IPv5"]' }, want: 'annotation "cni.projectcalico.org/ipFamilies": "IPv5" is no family' },
  { name: "no CIDR", pod: { allowedSourcePrefixes: '["x"]' }, want: "failed to parse 'x' as a CIDR" },
])("wishesOf: $name is refused", ({ pod, features = on, want }) => {
  expect(() => wishesOf({ pod: withPrefix(pod as unknown as Record<string, string>), namespace: {}, features })).toThrow(want);
});

test("natsOf: the pod's address of the same family, or none is a fault", () => {
  expect(natsOf(["172.16.0.1"], ["10.0.0.1/32", "fd00::1/128"])).toEqual([{ internalIP: "10.0.0.1", externalIP: "172.16.0.1" }]);
  expect(() => natsOf(["fd09::1"], ["10.0.0.1/32"])).toThrow("the pod has no IPv6 address for the floating IP fd09::1");
});
