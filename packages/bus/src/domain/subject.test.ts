import fc from "fast-check";
import { affinityKey, blockKey, keyOf } from "@calico/model";
import { expect, test } from "vitest";
import { escapeToken, useOfKey } from "./subject.ts";

const R = "/calico/resources/v3/projectcalico.org/";

test.for([
  { key: `${R}ippools/default-ipv4-ippool`, want: "calico.v3.ippools._.default-ipv4-ippool" },
  { key: `${R}profiles/kns.default`, want: "calico.v3.profiles._.kns%2Edefault" },
  { key: `${R}workloadendpoints/default/node1-k8s-my--pod-eth0`, want: "calico.v3.workloadendpoints.default.node1-k8s-my--pod-eth0" },
  { key: `${R}nodes/ä *>%`, want: "calico.v3.nodes._.%C3%A4%20%2A%3E%25" },
  { key: `${R}networkpolicies/_/p`, want: "calico.v3.networkpolicies.%5F.p" },
  { key: `${R}kubernetesservice/default/web`, want: "calico.v3.kubernetesservice.default.web" },
  { key: "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26", want: "calico.v3.ipamblocks._.10%2E0%2E0%2E0-26" },
  { key: "/calico/ipam/v2/host/node1/ipv4/block/10.0.0.0-26", want: "calico.v3.blockaffinities._.host:node1:10%2E0%2E0%2E0-26" },
  {
    key: "/calico/ipam/v2/virtual/load-balancer/ipv6/block/fd00::-122",
    want: "calico.v3.blockaffinities._.virtual:load-balancer:fd00%3A%3A-122",
  },
  { key: "/calico/ipam/v2/handle/k8s.1", want: "ignored" },
  { key: "/calico/ipam/v2/config", want: "ignored" },
  { key: "/calico/felix/v2/no-region/host/a/status", want: "ignored" },
  { key: `${R}blockaffinities/node1-10-0-0-0-26`, want: "ignored" },
  { key: `${R}foo/bar`, want: "unknown" },
  { key: `${R}felixconfigurations/default/extra`, want: "unknown" },
  { key: `${R}ippools/line\nbreak`, want: "unknown" },
])("useOfKey: $key → $want", ({ key, want }) => {
  const use = useOfKey(key);
  expect(use.kind === "carried" ? use.subject : use.kind).toBe(want);
});

test("escapeToken: one token, and different texts stay different", () => {
  const text = fc.string({ unit: "grapheme", minLength: 1 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(escapeToken(a)).toMatch(/^[A-Za-z0-9_%-]+$/);
      expect(decodeURIComponent(escapeToken(a)) === a).toBe(true);
      expect(escapeToken(a) === escapeToken(b)).toBe(a === b);
    }),
  );
});

test("useOfKey: no two keys share a subject", () => {
  const name = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,5}[a-z0-9])?$/);
  const cidr = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 1 })).map(([a, b]) => `10.${a}.${b}.0/26`);
  const key = fc.oneof(
    name.map((n) => keyOf({ kind: "Node", name: n })),
    fc.tuple(name, name).map(([namespace, n]) => keyOf({ kind: "NetworkPolicy", namespace, name: n })),
    fc.tuple(name, name).map(([namespace, n]) => keyOf({ kind: "NetworkSet", namespace, name: n })),
    cidr.map((c) => blockKey(c)),
    fc.tuple(name, cidr).map(([host, c]) => affinityKey(host, c)),
    fc.tuple(name, cidr).map(([host, c]) => affinityKey(host, c, "virtual")),
  );
  fc.assert(
    fc.property(fc.uniqueArray(key, { maxLength: 50 }), (keys) => {
      const subjects = keys.map((k) => (useOfKey(k) as { subject: string }).subject);
      expect(new Set(subjects).size).toBe(keys.length);
    }),
  );
});
