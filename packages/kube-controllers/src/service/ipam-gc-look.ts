/** One look at everything: live lists, no cache. Blocks first, so that whoever holds an address of them was in the API before. */
import type { PoolUtilization } from "@calico/ipam";
import { parsePool, type Pool } from "@calico/ipam";
import { RESOURCES } from "@calico/kube-client";
import type { KubeObject } from "@calico/kube-client";
import type { KeyValue } from "@calico/datastore";
import { prefixOf } from "@calico/model";
import { mapOf } from "../domain/facts.ts";
import { type Census, censusOf, endpointsByIp, jsonOf, kubeNameOfRecord } from "../domain/ipam-gc-census.ts";
import type { PodLook, World } from "../domain/ipam-gc.ts";
import type { GcPorts } from "./ipam-gc.ts";

export interface Look {
  readonly census: Census;
  readonly world: World;
  readonly utilization: readonly PoolUtilization[];
  /** Calico's nodes as stored: whoever removes one says which. */
  readonly nodeRecords: ReadonlyMap<string, KeyValue>;
}

export async function look({ kube, store, ipam, signal }: Pick<GcPorts, "kube" | "store" | "ipam" | "signal">): Promise<Look> {
  const pools = poolsOf((await store.list(prefixOf("IPPool"))).items);
  const utilization = await ipam.utilization();
  const blocks = await store.list(prefixOf("IPAMBlock"));
  const endpoints = await store.list(prefixOf("WorkloadEndpoint"));
  const calicoNodes = await store.list(prefixOf("Node"));
  const nodes = await kube.list(RESOURCES.nodes, { signal });
  const pods = await kube.list(RESOURCES.pods, { signal });
  return {
    census: censusOf(blocks.items, pools),
    utilization,
    nodeRecords: new Map(calicoNodes.items.map((record) => [kubeNameOfRecord(record)[0], record])),
    world: {
      pods: new Map(pods.items.map((pod) => [`${pod.metadata.namespace ?? ""}/${pod.metadata.name}`, podLook(pod)])),
      podsRevision: pods.resourceVersion,
      kubeNodes: new Set(nodes.items.map((node) => node.metadata.name)),
      nodesRevision: nodes.resourceVersion,
      calicoNodes: new Map(calicoNodes.items.map(kubeNameOfRecord)),
      endpoints: endpointsByIp(endpoints.items),
      etcdRevision: endpoints.revision,
    },
  };
}

/** Those that can be read; the syncer tells of the others. */
export function poolsOf(records: readonly Pick<KeyValue, "value">[]): readonly Pool[] {
  return records.flatMap(({ value }): Pool[] => {
    const pool = parsePool(jsonOf(value));
    return pool.ok ? [pool.value] : [];
  });
}

export function podLook(pod: KubeObject): PodLook {
  const status = mapOf(pod["status"]);
  const list = Array.isArray(status["podIPs"]) ? status["podIPs"].map((entry) => mapOf(entry)["ip"]) : [];
  const ips = [...list, status["podIP"]].filter((ip): ip is string => typeof ip === "string" && ip !== "");
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  return { node: text(mapOf(pod["spec"])["nodeName"]), phase: text(status["phase"]), ips };
}
