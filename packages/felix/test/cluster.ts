/** A small cluster as objects, for scenarios: two nodes, pods by name, and whatever policies a test adds. */
import { aNamespaceProfile, aNode, aPool, aWep, anObject } from "@calico/model/testing";
import { vethName } from "@calico/model";
import type { AnyObject } from "@calico/model";

export const NODE = "node1";

export type Pod = {
  readonly namespace?: string;
  readonly node?: string;
  readonly ip: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: object;
};

/** Pods by name. Those of node1 are local. */
export const PODS: Readonly<Record<string, Pod>> = {
  web: {
    ip: "10.0.0.1",
    labels: { app: "web" },
    spec: { ports: [{ name: "http", protocol: "TCP", port: 8080 }], mac: "02:00:00:00:00:01" },
  },
  client: { ip: "10.0.0.2", labels: { app: "client" } },
  other: { namespace: "other", ip: "10.0.0.3", labels: { app: "client" } },
  remote: { node: "node2", ip: "10.0.1.1", labels: { app: "client", zone: "far" } },
};

export const ifaceOf = (pod: string): string => vethName(PODS[pod]?.namespace ?? "default", pod);

export function pod(name: string): AnyObject {
  const p = PODS[name]!;
  return aWep({
    node: p.node ?? NODE,
    pod: name,
    ip: p.ip,
    ...(p.namespace === undefined ? {} : { namespace: p.namespace }),
    ...(p.labels === undefined ? {} : { labels: p.labels }),
    ...(p.spec === undefined ? {} : { spec: p.spec }),
  });
}

export function serviceAccount(namespace: string): AnyObject {
  return anObject("Profile", { name: `ksa.${namespace}.default` }, { labelsToApply: { "pcsa.projectcalico.org/name": "default" } });
}

/** Nodes, a pool, namespaces and pods; no policy. */
export function baseCluster(): readonly AnyObject[] {
  return [
    aNode("node1", "192.168.81.101/24"),
    aNode("node2", "192.168.81.102/24"),
    aPool("pods", "10.0.0.0/16", { natOutgoing: true }),
    aNamespaceProfile("default", { team: "a" }),
    aNamespaceProfile("other", { team: "b" }),
    serviceAccount("default"),
    serviceAccount("other"),
    anObject("Tier", { name: "default" }, { order: 1_000_000, defaultAction: "Deny" }),
    ...Object.keys(PODS).map(pod),
  ];
}
