import fc from "fast-check";
import { expect, test } from "vitest";
import { affinityKey, blockKey, handleKey, keyOf, parseKey } from "./keys.ts";
import { ALL_KINDS, KINDS } from "./kinds.ts";
import { parseWepName, vethName, wepName } from "./names.ts";
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
