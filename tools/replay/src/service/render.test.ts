import { derivePlan, KINDS_FOLLOWED, makeWorld, renderNode as renderBgp } from "@calico/bgp";
import { applyDelta, emptyProgram, FELIX_KINDS, Graph, printProgram, programOf, renderNode as renderFelix } from "@calico/felix";
import fc from "fast-check";
import { affinityKey, type AnyObject, blockKey, keyOf, type Kind, parseKey } from "@calico/model";
import { aNamespaceProfile, aNode, aPolicy, aPool, aWep, anObject } from "@calico/model/testing";
import { makeNatCore, NAT_KINDS, renderNode as renderNat } from "@calico/proxy-nat";
import { expect, test } from "vitest";
import { fold } from "../domain/fold.ts";
import type { LogRecord } from "../domain/history.ts";
import { redact } from "../domain/redact.ts";
import { COMPONENTS, eventOf, eventsOf, render } from "./render.ts";

const SETTINGS = { families: [4, 6], natFamilies: [4], clusterCidrs: [], components: COMPONENTS } as const;

function put(key: string, value: unknown, revision: number): LogRecord {
  return {
    seq: 0,
    atMs: 0,
    revision,
    key,
    ref: parseKey(key)!,
    op: "put",
    data: value === undefined ? "" : JSON.stringify(value),
    late: false,
  };
}
function object(o: AnyObject, revision: number): LogRecord {
  const { name, namespace } = o.metadata as { name: string; namespace?: string };
  return put(keyOf({ kind: o.kind as Kind, name, ...(namespace === undefined ? {} : { namespace }) }), o, revision);
}
const service = (port: number) =>
  ({
    kind: "KubernetesService",
    apiVersion: "projectcalico.org/v3",
    metadata: { name: "web", namespace: "shop" },
    spec: {
      type: "ClusterIP",
      clusterIP: "10.96.0.10",
      clusterIPs: ["10.96.0.10"],
      ports: [{ name: "http", protocol: "TCP", port, targetPort: 8080 }],
    },
  }) as unknown as AnyObject;
const slice = (name: string, addresses: readonly string[]) =>
  ({
    kind: "KubernetesEndpointSlice",
    apiVersion: "projectcalico.org/v3",
    metadata: { name, namespace: "shop", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
  }) as unknown as AnyObject;
const aBlock = (cidr: string, node: string) => ({
  cidr,
  affinity: "host:node2",
  allocations: [0, ...Array.from({ length: 63 }, () => null)],
  unallocated: Array.from({ length: 63 }, (_, i) => i + 1),
  attributes: [{ handle_id: "h", secondary: { node } }],
});
const deny = aPolicy("deny", { selector: "app == 'web'", ingress: [] }, "shop");
/** Each inner list is one transaction. */
const transactions: readonly (readonly ((revision: number) => LogRecord)[])[] = [
  [
    aNode("node1", "192.168.81.101/24"),
    aNode("node2", "192.168.81.102/24"),
    aPool("pods", "10.0.0.0/16", { ipipMode: "Always", natOutgoing: true }),
  ].map((o) => (r: number) => object(o, r)),
  [
    (r) => put(affinityKey("node1", "10.0.0.0/26"), { state: "confirmed", deleted: false }, r),
    (r) => put(affinityKey("node2", "10.0.1.0/26"), { state: "confirmed", deleted: false }, r),
  ],
  [
    aNamespaceProfile("shop", { team: "a" }),
    aWep({ node: "node1", namespace: "shop", pod: "web", ip: "10.0.0.1", labels: { app: "web" } }),
    aWep({ node: "node2", namespace: "shop", pod: "client", ip: "10.0.1.1", labels: { app: "client" } }),
    deny,
    anObject("Tier", { name: "default" }, { order: 1_000_000, defaultAction: "Deny" }),
  ].map((o) => (r: number) => object(o, r)),
  [(r) => object(service(80), r)],
  [
    (r) =>
      object({ ...deny, spec: { ...deny.spec, ingress: [{ action: "Allow", source: { selector: "app == 'client'" } }] } } as AnyObject, r),
    (r) => object(service(81), r),
  ],
  [(r) => ({ ...object(aPool("pods", "10.0.0.0/16"), r), op: "delete", data: "" })],
];
const records = transactions.flatMap((txn, i) => txn.map((make) => make(i + 1)));

test("render: every component says something, and it changes with the log", () => {
  const all = render(records, "node1", SETTINGS);
  expect(Object.keys(all)).toEqual(["felix", "bgp", "proxy-nat"]);
  expect(all["felix"]).toContain("cali-tw-");
  expect(all["bgp"]).toContain("blackhole 10.0.0.0/26");
  expect(all["proxy-nat"]).toContain("--dport 81");
  const earlier = render(
    records.filter((r) => r.revision <= 4),
    "node1",
    SETTINGS,
  );
  expect(earlier["felix"]).not.toBe(all["felix"]);
  expect(earlier["bgp"]).toContain("10.0.1.0/26 proto 179 via 192.168.81.102 dev tunl0 onlink");
  expect(earlier["proxy-nat"]).toContain("--dport 80");
});

/** Objects in the forms that they take in a random history: good, changed, and broken. Some contend: for an address, an interface, a network. */
const VARIANTS: readonly (readonly ((revision: number) => LogRecord)[])[] = [
  variants(aNode("node1", "192.168.81.101/24"), aNode("node1", "192.168.81.101/24", { ipv4VXLANTunnelAddr: "10.0.0.64" })),
  variants(aNode("node2", "192.168.81.102/24", { ipv4VXLANTunnelAddr: "10.0.1.64" }), aNode("node2", "192.168.82.102/24")),
  variants(aNode("node3", "192.168.81.102/24"), aNode("node3", "192.168.81.103/24"), broken(aNode("node3"))),
  variants(
    aPool("pods", "10.0.0.0/16", { ipipMode: "Always" }),
    aPool("pods", "10.0.0.0/16", { vxlanMode: "Always", natOutgoing: true }),
    aPool("pods", "10.0.0.0/16", { vxlanMode: "CrossSubnet" }),
  ),
  variants(aPool("inner", "10.0.1.0/24"), aPool("inner", "10.0.1.0/24", { vxlanMode: "CrossSubnet", disableBGPExport: true })),
  variants(aNamespaceProfile("shop", { team: "a" }), aNamespaceProfile("shop", { team: "b" })),
  variants(
    aWep({ node: "node1", namespace: "shop", pod: "web", ip: "10.0.0.1", labels: { app: "web" } }),
    aWep({ node: "node1", namespace: "shop", pod: "web", ip: "10.0.0.2", labels: { app: "web", tier: "x" } }),
    aWep({ node: "node2", namespace: "shop", pod: "web", ip: "10.0.1.2", labels: { app: "web" } }),
  ),
  variants(
    aWep({ node: "node2", namespace: "shop", pod: "client", ip: "10.0.1.1", labels: { app: "client" } }),
    aWep({ node: "node1", namespace: "shop", pod: "client", ip: "10.0.0.1", labels: { app: "client" }, spec: { interfaceName: "cali1" } }),
  ),
  variants(
    deny,
    aPolicy("deny", { selector: "has(tier)", ingress: [{ action: "Allow", source: { selector: "app == 'client'" } }] }, "shop"),
    broken(deny),
  ),
  variants(
    aPolicy("all", { tier: "security", order: 3, ingress: [{ action: "Pass", source: { namespaceSelector: "team == 'a'" } }] }, undefined),
    aPolicy("all", { tier: "security", order: 1, selector: "all()", egress: [{ action: "Allow" }] }, undefined),
  ),
  variants(anObject("Tier", { name: "security" }, { order: 10, defaultAction: "Pass" }), anObject("Tier", { name: "security" }, {})),
  variants(anObject("BGPPeer", { name: "a" }, { peerIP: "192.168.81.102", asNumber: 65000 })),
  variants(anObject("BGPPeer", { name: "b" }, { nodeSelector: "all()", peerSelector: "all()" })),
  variants(
    anObject("BGPConfiguration", { name: "default" }, { nodeToNodeMeshEnabled: false, serviceClusterIPs: [{ cidr: "10.96.0.0/12" }] }),
  ),
  variants(service(80), service(81), broken(service(80))),
  variants(slice("a", ["10.0.0.1"]), slice("a", ["10.0.0.1", "10.0.1.1"]), slice("a", ["nowhere"])),
  variants(slice("b", ["10.0.1.1", "10.0.0.1"]), slice("b", [])),
  ...["node1", "node2"].map((node, i) => [
    (r: number) => put(affinityKey(node, `10.0.${i}.0/26`), { state: "confirmed", deleted: false }, r),
    (r: number) => put(affinityKey(node, `10.0.${i}.0/26`), { state: "pending", deleted: false }, r),
  ]),
  ...["node1", "node2"].map((node, i) => [
    (r: number) => put(blockKey(`10.0.${i}.0/26`), aBlock(`10.0.${i}.0/26`, node), r),
    (r: number) => put(blockKey(`10.0.${i}.0/26`), aBlock(`10.0.${i}.0/26`, "node3"), r),
  ]),
];

function broken(o: AnyObject): AnyObject {
  return { ...o, spec: "?" } as unknown as AnyObject;
}

function variants(...objects: readonly AnyObject[]) {
  return objects.map((o) => (revision: number) => object(o, revision));
}

/** What is written when: which object, in which of its forms; without one, its deletion. */
const randomHistory = fc
  .array(fc.tuple(fc.nat(VARIANTS.length - 1), fc.option(fc.nat(3), { freq: 4 })), { minLength: 1, maxLength: 120 })
  .map((steps) =>
    steps.map(([which, form], i): LogRecord => {
      const forms = VARIANTS[which]!;
      const record = forms[(form ?? 0) % forms.length]!(i + 1);
      return { ...record, seq: i + 1, ...(form === null ? { op: "delete", data: "" } : {}) };
    }),
  );

test("render: of any history, what the cores make of it event by event", () => {
  fc.assert(
    fc.property(randomHistory, (history) => {
      const rendered = render(history, "node1", SETTINGS);
      const events = history.map(eventOf);
      expect(rendered["felix"]).toBe(renderFelix(events, "node1", { families: SETTINGS.families }));
      expect(rendered["bgp"]).toBe(renderBgp(events, "node1"));
      expect(rendered["proxy-nat"]).toBe(`# iptables\n${renderNat(events, "node1").get(4)}`);
    }),
    { numRuns: 60 },
  );
});

test("render: of any history, what the running agents have: cores that were flushed in between", () => {
  fc.assert(
    fc.property(randomHistory, fc.array(fc.boolean(), { minLength: 120, maxLength: 120 }), (history, flushes) => {
      const felix = new Graph({ node: "node1", macOf: () => "02:00:00:00:00:01" });
      const program = emptyProgram();
      const nat = makeNatCore({ node: "node1", families: [4], clusterCidrs: [] });
      const bgp = makeWorld("node1");
      for (const [i, event] of history.map(eventOf).entries()) {
        felix.update(event);
        nat.update(event);
        if (event.kind !== "inSync") bgp.take(event);
        if (flushes[i] !== true) continue;
        applyDelta(program, felix.flush());
        nat.flush();
      }
      applyDelta(program, felix.flush());
      nat.flush();
      const state = fold(history);
      expect(printProgram(program)).toBe(
        printProgram(programOf(eventsOf(state, FELIX_KINDS), "node1", { macOf: () => "02:00:00:00:00:01" })),
      );
      const freshNat = makeNatCore({ node: "node1", families: [4], clusterCidrs: [] });
      const freshBgp = makeWorld("node1");
      for (const event of eventsOf(state, NAT_KINDS)) freshNat.update(event);
      for (const event of eventsOf(state, KINDS_FOLLOWED)) if (event.kind !== "inSync") freshBgp.take(event);
      freshNat.flush();
      expect(nat.chains()).toEqual(freshNat.chains());
      expect(derivePlan(bgp.world, { node: "node1" })).toEqual(derivePlan(freshBgp.world, { node: "node1" }));
    }),
    { numRuns: 60 },
  );
});

test("render: order inside of one revision has no say", () => {
  const want = render(records, "node1", SETTINGS);
  const shuffles = fc.tuple(...transactions.map((txn) => fc.shuffledSubarray([...txn], { minLength: txn.length })));
  fc.assert(
    fc.property(shuffles, (shuffled) => {
      const delivered = shuffled.flatMap((txn, i) => txn.map((make) => make(i + 1)));
      expect(render(delivered, "node1", SETTINGS)).toEqual(want);
    }),
    { numRuns: 20 },
  );
});

test("render: what export takes out is in no program", () => {
  const S = "hunter2";
  const annotated = { "example.com/api-token": S, "kubectl.kubernetes.io/last-applied-configuration": `{"spec":{"password":"${S}"}}` };
  const withSecrets = (o: AnyObject, spec: object = {}): AnyObject => {
    const { metadata, ...rest } = o as { metadata: object; spec?: object };
    return { ...rest, metadata: { ...metadata, annotations: annotated }, spec: { ...rest.spec, ...spec } } as unknown as AnyObject;
  };
  const peer = anObject("BGPPeer", { name: "tor" }, { peerIP: "192.168.81.102", asNumber: 65000 });
  const mesh = anObject("BGPConfiguration", { name: "default" }, { asNumber: 64999 });
  const node = aNode("node1", "192.168.81.101/24");
  const history = [
    ...records,
    ...[
      withSecrets(peer, { password: { secretKeyRef: { name: "bgp", key: "tor", value: S }, plain: S } }),
      withSecrets(mesh, { nodeMeshPassword: S }),
      withSecrets(node, { wireguard: { privateKey: S }, args: ["--token", S, `--bootstrap-token=${S}`] }),
      withSecrets(service(82), { authorization: `Bearer ${S}${S}` }),
      withSecrets(anObject("FelixConfiguration", { name: "default" }, {}), {
        env: [{ name: "ETCD_PASSWORD", value: S }],
        url: `https://u:${S}@h/`,
      }),
    ].map((o, i) => object(o, 100 + i)),
  ];
  const redacted = history.map((r) => (r.op === "put" ? { ...r, data: JSON.stringify(redact(JSON.parse(r.data))) } : r));
  expect(JSON.stringify(history)).toContain(S);
  expect(JSON.stringify(redacted)).not.toContain(S);
  expect(render(redacted, "node1", SETTINGS)).toEqual(render(history, "node1", SETTINGS));
});
