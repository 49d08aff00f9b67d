import fc from "fast-check";
import { expect, expectTypeOf, test } from "vitest";
import { API_VERSION } from "../kinds.ts";
import { aNode, anObject, aPolicy, aPool, aWep } from "../testing.ts";
import { unknownFields } from "../validate/unknown-fields.ts";
import { validateResource } from "../validate/validate.ts";
import { formatFieldErrors, parseResource } from "./parse.ts";
import type { Kind } from "../kinds.ts";
import type { ApiKind, IPPool } from "./schemas.ts";

function errorsOf(kind: Kind, spec: unknown, name = "x", namespace?: string): string {
  const parsed = parseResource(kind, { kind, apiVersion: API_VERSION, metadata: { name, namespace }, spec });
  return parsed.ok ? "ok" : parsed.error.map((e) => `${e.field}: ${e.reason}`).join("; ");
}

const PORTS = "rules that specify ports must set protocol to TCP or UDP or SCTP";

test.for<{ name: string; rule: object; want: string; kind?: Kind; direction?: "ingress" | "egress" }>([
  {
    name: "a full rule",
    rule: { action: "Allow", protocol: "TCP", source: { selector: "a == 'b'" }, destination: { ports: [80, "1:2", "http"] } },
    want: "ok",
  },
  { name: "no action", rule: {}, want: "spec.ingress[0].action: field is required" },
  {
    name: "ports without protocol",
    rule: { action: "Allow", destination: { ports: [80] } },
    want: `spec.ingress[0].destination.ports[0]: ${PORTS}`,
  },
  { name: "named ports need no protocol", rule: { action: "Allow", destination: { ports: ["http"] } }, want: "ok" },
  {
    name: "named ports with ICMP",
    rule: { action: "Allow", protocol: "ICMP", destination: { ports: ["http"] } },
    want: `spec.ingress[0].destination.ports[0]: ${PORTS}`,
  },
  {
    name: "port range turned round",
    rule: { action: "Allow", protocol: 6, source: { ports: ["2:1"] } },
    want: "spec.ingress[0].source.ports[0]: the first port of a range must not be above the last",
  },
  {
    name: "icmp without protocol",
    rule: { action: "Allow", icmp: { type: 8 } },
    want: "spec.ingress[0].protocol: must be ICMP or ICMPv6 with icmp",
  },
  {
    name: "icmp code without type",
    rule: { action: "Allow", protocol: "icmp", icmp: { code: 8 } },
    want: "spec.ingress[0].icmp.code: ICMP code specified without an ICMP type",
  },
  {
    name: "ICMPv6 in IPv4",
    rule: { action: "Deny", ipVersion: 4, protocol: "ICMPv6" },
    want: "spec.ingress[0].ipVersion: protocol ICMPv6 needs ipVersion 6",
  },
  {
    name: "two families",
    rule: { action: "Allow", source: { nets: ["10.0.0.0/8"] }, destination: { nets: ["fd00::/8"] } },
    want: "spec.ingress[0]: rule contains both IPv4 and IPv6 CIDRs",
  },
  {
    name: "catch-all in notNets",
    rule: { action: "Allow", source: { notNets: ["0.0.0.0/0"] } },
    want: "spec.ingress[0].source.notNets[0]: catch-all CIDR in negation creates logical contradiction",
  },
  {
    name: "host bits",
    rule: { action: "Allow", source: { nets: ["10.0.0.1/8"] } },
    want: 'spec.ingress[0].source.nets[0]: Cannot parse CIDR "10.0.0.1/8": host bits are set, expected "10.0.0.0/8"',
  },
  { name: "a bare address is a net", rule: { action: "Allow", source: { nets: ["10.0.0.1"] } }, want: "ok" },
  {
    name: "http in egress",
    direction: "egress",
    rule: { action: "Allow", http: { methods: ["GET"] } },
    want: "spec.egress[0].http: not supported in egress rules",
  },
  {
    name: "http path",
    rule: { action: "Allow", http: { paths: [{ exact: "x" }] } },
    want: 'spec.ingress[0].http.paths[0]: must start with "/" and have no "?", "#" or space',
  },
  { name: "global() alone", rule: { action: "Allow", source: { namespaceSelector: "global()" } }, want: "ok" },
  {
    name: "global() combined",
    rule: { action: "Allow", source: { namespaceSelector: "global() && has(a)" } },
    want: "spec.ingress[0].source.namespaceSelector: global() cannot be combined with other selectors",
  },
  {
    name: "global() elsewhere",
    rule: { action: "Allow", source: { selector: "global()" } },
    want: "spec.ingress[0].source.selector: global() can only be used in an EntityRule namespaceSelector",
  },
  {
    name: "services in the wrong place",
    rule: { action: "Allow", destination: { services: { name: "s" } } },
    want: "spec.ingress[0].destination.services: can only be used in ingress rules on the source",
  },
  {
    name: "services with ports",
    direction: "egress",
    rule: { action: "Allow", protocol: "TCP", destination: { services: { name: "s" }, ports: [1] } },
    want: "spec.egress[0].destination.services: cannot be combined with ports or notPorts",
  },
  {
    name: "services of a global policy",
    kind: "GlobalNetworkPolicy",
    rule: { action: "Allow", source: { services: { name: "s" } } },
    want: "spec.ingress[0].source.services: must specify a namespace in a policy that has none",
  },
])("rule: $name", ({ rule, want, kind = "NetworkPolicy", direction = "ingress" }) => {
  expect(errorsOf(kind, { [direction]: [rule] }, "x", kind === "NetworkPolicy" ? "default" : undefined)).toBe(want);
});

test.for<{ kind: Kind; spec: object; want: string; name?: string }>([
  { kind: "IPPool", spec: { cidr: "10.0.0.0/16" }, want: "ok" },
  { kind: "IPPool", spec: { cidr: "10.0.0.0/16", ipipMode: "Sometimes" }, want: "spec.ipipMode: must be Never, Always or CrossSubnet" },
  {
    kind: "IPPool",
    spec: { cidr: "10.0.0.0/16", ipipMode: "Always", vxlanMode: "Always" },
    want: "spec.vxlanMode: only one of ipipMode and vxlanMode may be enabled",
  },
  {
    kind: "IPPool",
    spec: { cidr: "10.0.0.0/27" },
    want: "spec.cidr: IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.",
  },
  { kind: "IPPool", spec: { cidr: "10.0.0.0/8", blockSize: 19 }, want: "spec.blockSize: block size must be between 20 and 32" },
  { kind: "IPPool", spec: { cidr: "fd00::/48", ipipMode: "Always" }, want: "spec.ipipMode: IPIP is not supported on an IPv6 IP pool" },
  { kind: "IPPool", spec: { cidr: "169.254.0.0/20" }, want: "spec.cidr: IP pool range overlaps with a link-local range" },
  { kind: "IPPool", spec: {}, want: "spec.cidr: field is required" },
  { kind: "Tier", name: "default", spec: { order: 5 }, want: "spec.order: order of tier default must be 1000000" },
  { kind: "Tier", name: "mine", spec: { order: 5 }, want: "ok" },
  { kind: "Node", spec: { bgp: {} }, want: "spec.bgp: must not be empty" },
  { kind: "Node", spec: { bgp: { ipv4Address: "192.168.81.101/24", asNumber: "1.10" } }, want: "ok" },
  {
    kind: "Node",
    spec: { bgp: { asNumber: "4294967296" } },
    want: "spec.bgp.asNumber: must be an AS number from 0 to 4294967295, or dotted",
  },
  { kind: "HostEndpoint", spec: { node: "n" }, want: "spec: must have an interfaceName or expectedIPs" },
  {
    kind: "BGPPeer",
    spec: { peerIP: "10.0.0.1", asNumber: 64512, node: "a", nodeSelector: "all()" },
    want: "spec.node: node and nodeSelector cannot both be set",
  },
  { kind: "BGPPeer", spec: { peerIP: "[fd00::1]:1179", asNumber: "64512" }, want: "ok" },
  { kind: "BGPPeer", spec: { peerIP: "x" }, want: "spec.peerIP: must be an IP address, ip:port, or [ip]:port" },
  { kind: "BGPPeer", spec: { peerSelector: "a = b" }, want: "spec.peerSelector: invalid selector: expected ==" },
  {
    kind: "BGPPeer",
    spec: { peerIP: "10.0.0.1", reachableBy: "fd00::1" },
    want: "spec.reachableBy: must be of the same IP version as peerIP",
  },
  {
    kind: "BGPConfiguration",
    name: "node.n1",
    spec: { asNumber: 1 },
    want: 'spec.asNumber: can only be set in the BGPConfiguration named "default"',
  },
  {
    kind: "BGPConfiguration",
    name: "default",
    spec: { communities: [{ name: "c", value: "1:2" }] },
    want: "spec.communities: communities need prefixAdvertisements",
  },
  {
    kind: "BGPFilter",
    spec: { importV4: [{ action: "Accept", cidr: "10.0.0.0/8" }] },
    want: "spec.importV4[0].matchOperator: cidr and matchOperator must be set together",
  },
  { kind: "GlobalNetworkPolicy", spec: { preDNAT: true }, want: "spec.applyOnForward: must be true with preDNAT" },
  {
    kind: "IPAMConfiguration",
    name: "default",
    spec: { autoAllocateBlocks: false },
    want: "spec.autoAllocateBlocks: Cannot disable 'StrictAffinity' and 'AutoAllocateBlocks' at the same time",
  },
  { kind: "IPReservation", spec: { reservedCIDRs: ["10.0.0.1", "10.0.0.0/30"] }, want: "ok" },
])("spec: $kind $spec: $want", ({ kind, spec, want, name }) => {
  expect(errorsOf(kind, spec, name)).toBe(want);
});

test("parseResource: fills in what Calico fills in", () => {
  expect(aPool("p", "fd00::/48").spec).toMatchObject({
    blockSize: 122,
    nodeSelector: "all()",
    ipipMode: "Never",
    allowedUses: ["Workload", "Tunnel"],
  });
  expect(aPolicy("p", { tier: "", egress: [{ action: "Allow" }] }, "default").spec).toMatchObject({ tier: "default", types: ["Egress"] });
  expect(aPolicy("p", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] }, undefined).spec.types).toEqual([
    "Ingress",
    "Egress",
  ]);
  expect(aPolicy("p", {}, "default").spec.types).toEqual(["Ingress"]);
  expect(anObject("Tier", { name: "t" }).spec).toEqual({ order: 1_000_000, defaultAction: "Deny" });
  expect(aNode("n", "192.168.81.101/24", { bgp: { asNumber: "1.10" } }).spec.bgp?.asNumber).toBe(65546);
  expect(parseResource("BlockAffinity", "")).toEqual({ ok: true, value: { state: "confirmed", deleted: false } });
});

test("parseResource: null is absent, and unknown fields survive", () => {
  const json = {
    kind: "Node",
    apiVersion: API_VERSION,
    metadata: { name: "n", creationTimestamp: null },
    spec: { bgp: null, novelty: { deep: [1, null] } },
  };
  expect(parseResource("Node", json)).toEqual({
    ok: true,
    value: { kind: "Node", apiVersion: API_VERSION, metadata: { name: "n" }, spec: { novelty: { deep: [1, null] } } },
  });
});

test("parseResource: a block as Calico writes it", () => {
  const json = {
    cidr: "10.0.0.0/30",
    affinity: "host:node1",
    allocations: [null, 0, null, null],
    unallocated: [0, 2, 3],
    attributes: [{ handle_id: "h", secondary: { pod: "nginx" } }],
    sequenceNumber: 2,
    sequenceNumberForAllocation: { "1": 1 },
    deleted: false,
  };
  expect(parseResource("IPAMBlock", json)).toEqual({ ok: true, value: json });
});

test("parseResource: a bad selector carries the place of the error", () => {
  const parsed = parseResource("NetworkPolicy", {
    kind: "NetworkPolicy",
    apiVersion: API_VERSION,
    metadata: { name: "x", namespace: "d" },
    spec: { selector: "a = b" },
  });
  expect(parsed).toEqual({
    ok: false,
    error: [{ field: "spec.selector", value: "a = b", reason: "invalid selector: expected ==", at: 2 }],
  });
});

test("parseResource: parsing what it gave gives the same", () => {
  for (const object of [
    aNode("n"),
    aPool("p", "10.0.0.0/16"),
    aWep({ node: "n", pod: "p", ip: "10.0.0.1" }),
    aPolicy("p", { selector: "all()" }, "default"),
  ]) {
    expect(parseResource(object.kind, JSON.parse(JSON.stringify(object)))).toEqual({ ok: true, value: object });
  }
});

test("parseResource: no JSON makes it throw", () => {
  fc.assert(
    fc.property(
      fc.constantFrom<Kind>("NetworkPolicy", "IPPool", "Node", "IPAMBlock", "BGPPeer", "WorkloadEndpoint"),
      fc.jsonValue(),
      fc.jsonValue(),
      (kind, spec, metadata) => {
        parseResource(kind, { kind, apiVersion: API_VERSION, metadata, spec });
        parseResource(kind, spec);
      },
    ),
  );
});

test.for<{ kind: ApiKind; name: string; namespace?: string; ok: boolean; labels?: Record<string, string> }>([
  { kind: "NetworkPolicy", name: "allow.web", namespace: "default", ok: true },
  { kind: "NetworkPolicy", name: "knp.default.a.b.c", namespace: "default", ok: true },
  { kind: "NetworkPolicy", name: "a.b.c", namespace: "default", ok: false },
  { kind: "NetworkPolicy", name: "a", ok: false },
  { kind: "GlobalNetworkPolicy", name: "a.b", ok: true },
  { kind: "GlobalNetworkPolicy", name: "a.b.c", ok: false },
  { kind: "GlobalNetworkPolicy", name: "a", namespace: "x", ok: false },
  { kind: "Tier", name: "a.b", ok: false },
  { kind: "Profile", name: "kns.default", ok: true },
  { kind: "Profile", name: "Kns", ok: false },
  { kind: "ClusterInformation", name: "other", ok: false },
  { kind: "GlobalNetworkSet", name: "s", labels: { "projectcalico.org/namespace": "x" }, ok: false },
  { kind: "GlobalNetworkSet", name: "s", labels: { "a b": "x" }, ok: false },
  { kind: "GlobalNetworkSet", name: "s", labels: { "example.com/role": "x_1.y" }, ok: true },
])("validateResource: metadata $kind $namespace/$name $labels", ({ kind, name, namespace, ok, labels }) => {
  const valid = validateResource(kind, { kind, apiVersion: API_VERSION, metadata: { name, namespace, labels }, spec: {} });
  expect(valid.ok).toBe(ok);
});

test("validateResource: a field that the kind does not have is named; unknown settings of felix pass", () => {
  const policy = {
    kind: "NetworkPolicy",
    metadata: { name: "x", labls: {} },
    spec: { ingress: [{ action: "Allow", source: { selektor: "x" } }] },
  };
  expect(unknownFields("NetworkPolicy", policy).map((e) => e.field)).toEqual(["metadata.labls", "spec.ingress[0].source.selektor"]);
  expect(unknownFields("FelixConfiguration", { spec: { bpfEnabled: true } })).toEqual([]);
});

test("formatFieldErrors: in Calico's words, one per line", () => {
  expect(formatFieldErrors([{ field: "spec.cidr", value: "x", reason: "bad" }])).toBe("error with field spec.cidr = 'x' (bad)");
  expect(
    formatFieldErrors([
      { field: "a", value: 1, reason: "b" },
      { field: "c", value: undefined, reason: "d" },
    ]),
  ).toBe("error with the following fields:\n-  a = '1' (b)\n-  c = '' (d)");
});

test("types: fields are known, unknown ones are not", () => {
  expectTypeOf<IPPool["spec"]["blockSize"]>().toEqualTypeOf<number>();
  expectTypeOf<IPPool["spec"]["allowedUses"]>().toEqualTypeOf<readonly ("Workload" | "Tunnel" | "LoadBalancer")[]>();
  expectTypeOf<IPPool["spec"]>().not.toHaveProperty("novelty");
});
