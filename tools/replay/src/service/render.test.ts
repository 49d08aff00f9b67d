import fc from "fast-check";
import { affinityKey, type AnyObject, keyOf, type Kind, parseKey } from "@calico/model";
import { aNamespaceProfile, aNode, aPolicy, aPool, aWep, anObject } from "@calico/model/testing";
import { expect, test } from "vitest";
import type { LogRecord } from "../domain/history.ts";
import { COMPONENTS, eventsOf, render } from "./render.ts";

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

test("render: order inside of one revision has no say, in the order of the log or out of it", () => {
  const want = render(records, "node1", SETTINGS);
  const shuffled = fc.shuffledSubarray([...records], { minLength: records.length });
  fc.assert(
    fc.property(shuffled, (delivered) => {
      expect(eventsOf(delivered)).toEqual(eventsOf(records));
      expect(render(delivered, "node1", SETTINGS)).toEqual(want);
    }),
    { numRuns: 20 },
  );
});

test("render: all events, or only the last of each object: the same programs", () => {
  const last = new Map(records.map((record) => [record.key, record]));
  expect(
    render(
      [...last.values()].filter(({ op }) => op === "put"),
      "node1",
      SETTINGS,
    ),
  ).toEqual(render(records, "node1", SETTINGS));
});
