import fc from "fast-check";
import { expect, test } from "vitest";
import { affinityKey, blockKey, handleKey, keyOf, parseKey } from "./keys.ts";
import { ALL_KINDS, KINDS } from "./kinds.ts";
import { isVmHandle, parseWepName, vethName, vmHandle, wepName } from "./names.ts";
import type { ObjectRef } from "./kinds.ts";

const ROOT = "/calico/resources/v3/projectcalico.org";

test.for<{ ref: ObjectRef; want: string }>([
  { ref: { kind: "IPPool", name: "default-ipv4-ippool" }, want: `${ROOT}/ippools/default-ipv4-ippool` },
  { ref: { kind: "Node", name: "node1" }, want: `${ROOT}/nodes/node1` },
  { ref: { kind: "NetworkPolicy", namespace: "default", name: "my-policy" }, want: `${ROOT}/networkpolicies/default/my-policy` },
  { ref: { kind: "Profile", name: "kns.default" }, want: `${ROOT}/profiles/kns.default` },
  {
    ref: { kind: "WorkloadEndpoint", namespace: "default", name: "node1-k8s-my--pod-eth0" },
    want: `${ROOT}/workloadendpoints/default/node1-k8s-my--pod-eth0`,
  },
  { ref: { kind: "ClusterInformation", name: "default" }, want: `${ROOT}/clusterinformations/default` },
  { ref: { kind: "KubernetesService", namespace: "default", name: "kubernetes" }, want: `${ROOT}/kubernetesservice/default/kubernetes` },
])("keyOf: $want", ({ ref, want }) => {
  expect(keyOf(ref)).toBe(want);
  expect(parseKey(want)).toEqual({ ref });
});

test.for([
  `${ROOT}/foo/bar/baz`,
  `${ROOT}/felixconfigurations/default/my-network-policy`,
  `${ROOT}/networkpolicies/default`,
  `${ROOT}/nodes/`,
  `${ROOT}/nodes`,
  "/calico/ipam/v2/config",
  "/calico/ipam/v2/handle/x",
  "/calico/ipam/v2/host/node1",
  "/calico/ipam/v2/assignment/ipv4/block/garbage",
  "/registry/pods/default/x",
  "",
])("parseKey: %s is none of ours", (key) => {
  expect(parseKey(key)).toBeUndefined();
});

test("blockKey, affinityKey, handleKey: the IPAM library's own keys", () => {
  expect(blockKey("10.0.0.0/26")).toBe("/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26");
  expect(blockKey("fd00:10:244::/122")).toBe("/calico/ipam/v2/assignment/ipv6/block/fd00:10:244::-122");
  expect(affinityKey("node1", "10.0.0.0/26")).toBe("/calico/ipam/v2/host/node1/ipv4/block/10.0.0.0-26");
  expect(affinityKey("load-balancer", "10.0.0.0/26", "virtual")).toBe("/calico/ipam/v2/virtual/load-balancer/ipv4/block/10.0.0.0-26");
  expect(handleKey("k8s-pod-network.abc")).toBe("/calico/ipam/v2/handle/k8s-pod-network.abc");
  expect(parseKey(blockKey("10.0.0.0/26"))).toEqual({ ref: { kind: "IPAMBlock", name: "10-0-0-0-26" }, cidr: "10.0.0.0/26" });
  expect(parseKey(affinityKey("node1", "10.0.0.0/26"))).toEqual({
    ref: { kind: "BlockAffinity", name: "node1-10-0-0-0-26" },
    cidr: "10.0.0.0/26",
    host: "node1",
    affinityType: "host",
  });
});

test("keyOf: a namespaced kind without namespace is a bug in the caller", () => {
  expect(() => keyOf({ kind: "NetworkPolicy", name: "x" })).toThrow("namespace is missing");
});

test("keyOf: parseKey is its inverse for every kind", () => {
  const name = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,10}[a-z0-9])?$/);
  const kind = fc.constantFrom(...ALL_KINDS.filter((k) => k !== "IPAMBlock" && k !== "BlockAffinity"));
  fc.assert(
    fc.property(kind, name, name, (k, namespace, n) => {
      const ref: ObjectRef = KINDS[k].namespaced ? { kind: k, namespace, name: n } : { kind: k, name: n };
      expect(parseKey(keyOf(ref))).toEqual({ ref });
    }),
  );
});

test("wepName: dashes inside of segments are doubled", () => {
  expect(wepName({ node: "node-1", orchestrator: "k8s", pod: "my-pod", endpoint: "eth0" })).toBe("node--1-k8s-my--pod-eth0");
  expect(wepName({ node: "n", orchestrator: "cni", containerId: "abc", endpoint: "eth0" })).toBe("n-cni-abc-eth0");
  expect(wepName({ node: "n", orchestrator: "libnetwork", endpoint: "e" })).toBe("n-libnetwork-libnetwork-e");
  expect(() => wepName({ node: "n", orchestrator: "k8s", endpoint: "eth0" })).toThrow("pod: field is required");
  expect(() => wepName({ node: "n-", orchestrator: "k8s", pod: "p", endpoint: "eth0" })).toThrow('must not begin or end with "-"');
});

test.for(["node1-k8s-pod", "a---b-k8s-x-y", "", "-", "a-b-c-d-e", "n-k8s--x-eth0"])("parseWepName: %j is refused", (name) => {
  expect(parseWepName(name).ok).toBe(false);
});

test("parseWepName: the inverse of wepName", () => {
  const part = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,8}[a-z0-9])?$/);
  fc.assert(
    fc.property(part, part, (node, pod) => {
      const parts = { node, orchestrator: "k8s", pod, endpoint: "eth0" };
      expect(parseWepName(wepName(parts))).toEqual({ ok: true, value: parts });
    }),
  );
});

test("vethName: the name that Calico gives", () => {
  expect(vethName("default", "nginx")).toBe("calic440f455693");
});

// Source: facts §2.1.5, §2.3.1-2.3.5, §2.5.9: paths that Calico's own parser must take, and must not.
test.for<{ key: string; want: unknown }>([
  { key: `${ROOT}/globalnetworkpolicies/my-network-policy`, want: { ref: { kind: "GlobalNetworkPolicy", name: "my-network-policy" } } },
  {
    key: `${ROOT}/networkpolicies/default/knp.default.x`,
    want: { ref: { kind: "NetworkPolicy", namespace: "default", name: "knp.default.x" } },
  },
  { key: `${ROOT}/bgpfilters/f`, want: { ref: { kind: "BGPFilter", name: "f" } } },
  { key: `${ROOT}/caliconodestatuses/n`, want: { ref: { kind: "CalicoNodeStatus", name: "n" } } },
  { key: `${ROOT}/livemigrations/ns/m`, want: { ref: { kind: "LiveMigration", namespace: "ns", name: "m" } } },
  {
    key: `${ROOT}/stagedkubernetesnetworkpolicies/ns/p`,
    want: { ref: { kind: "StagedKubernetesNetworkPolicy", namespace: "ns", name: "p" } },
  },
  { key: `${ROOT}/hostendpoints/a%2fb%25c`, want: { ref: { kind: "HostEndpoint", name: "a/b%c" } } },
  { key: `${ROOT}/profiles/ksa.default.my-sa`, want: { ref: { kind: "Profile", name: "ksa.default.my-sa" } } },
  {
    key: "/calico/ipam/v2/assignment/ipv6/block/fd00:10:244::-122",
    want: { ref: { kind: "IPAMBlock", name: "fd00-10-244---122" }, cidr: "fd00:10:244::/122" },
  },
  {
    key: "calico/ipam/v2/host/node-1.example/ipv4/block/10.0.0.0-26",
    want: {
      ...{ ref: { kind: "BlockAffinity", name: "node-1.example-10-0-0-0-26" }, cidr: "10.0.0.0/26" },
      ...{ host: "node-1.example", affinityType: "host" },
    },
  },
  {
    key: "/calico/ipam/v2/virtual/load-balancer/ipv4/block/10.0.0.0-26",
    want: {
      ...{ ref: { kind: "BlockAffinity", name: "load-balancer-10-0-0-0-26" }, cidr: "10.0.0.0/26" },
      ...{ host: "load-balancer", affinityType: "virtual" },
    },
  },
  ...[
    `${ROOT}/globalnetworkpolicies/default/x`,
    `${ROOT}/livemigrations/m`,
    `${ROOT}/NetworkPolicies/default/x`,
    `${ROOT}/networkpolicies/default/a/b`,
    `${ROOT}/kubernetesnetworkpolicies/default/x`,
    `${ROOT}//x`,
    ROOT,
    "/calico",
    "/calico/v1/Ready",
    "/calico/v1/host/h/workload/k8s/ns%2fpod/endpoint/eth0",
    "/calico/felix/v1/host/h/endpoint/e",
    "/calico/ipam/v2/host/n/ipv4/block/",
    "/calico/ipam/v2/host/n/ipv4/block/10.0.0.1-26",
    "/calico/ipam/v2/other/n/ipv4/block/10.0.0.0-26",
    "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26/x",
  ].map((key) => ({ key, want: undefined })),
])("parseKey: $key as Calico's parser", ({ key, want }) => {
  expect(parseKey(key)).toEqual(want);
});

test("parseKey: never throws, and what it takes is what keyOf makes", () => {
  const piece = fc.constantFrom("networkpolicies", "tiers", "default", "a.b", "%2f", "%25", "", "ipv4", "block", "host", "10.0.0.0-26");
  fc.assert(
    fc.property(fc.constantFrom(`${ROOT}/`, "/calico/ipam/v2/", "/"), fc.array(piece, { maxLength: 6 }), (root, pieces) => {
      const parsed = parseKey(`${root}${pieces.join("/")}`);
      if (parsed === undefined || parsed.cidr !== undefined || /[%/]/.test(`${parsed.ref.namespace}${parsed.ref.name}`)) return;
      expect(parseKey(keyOf(parsed.ref))).toEqual(parsed);
    }),
  );
});

test("vmHandle: a machine's name in full, or hashed when it does not fit; isVmHandle knows both, and no container's", () => {
  const vm = { namespace: "default", name: "vm1.example" };
  expect(vmHandle("k8s-pod-network", vm)).toBe("k8s-pod-network.vmi.default.vm1.example");
  const long = { namespace: "n".repeat(63), name: "v".repeat(63) };
  const hashed = vmHandle("k8s-pod-network", long);
  expect(hashed).toMatch(/^k8s-pod-network\.vmi\._[\w-]{43,}$/);
  expect([hashed, vmHandle("net", vm), vmHandle("a.vmi.b", vm)].map((h) => [isVmHandle(h), isVmHandle(h, vm)])).toEqual([
    [true, false],
    [true, true],
    [true, true],
  ]);
  expect(isVmHandle(hashed, long)).toBe(true);
  expect(isVmHandle("k8s-pod-network.0a1b2c3d4e5f")).toBe(false);
});
