/** One look at everything: live lists, no cache. Blocks first, so that whoever holds an address of them was in the API before. */
import type { PoolUtilization } from "@calico/ipam";
import { parsePool, type Pool } from "@calico/ipam";
import { isNotFound, KubeError, RESOURCES } from "@calico/kube-client";
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

export async function look(ports: Pick<GcPorts, "kube" | "store" | "ipam" | "signal">): Promise<Look> {
  const { kube, store, ipam, signal } = ports;
  const pools = poolsOf((await store.list(prefixOf("IPPool"))).items);
  const utilization = await ipam.utilization();
  const blocks = await store.list(prefixOf("IPAMBlock"));
  const endpoints = await store.list(prefixOf("WorkloadEndpoint"));
  const calicoNodes = await store.list(prefixOf("Node"));
  const nodes = await kube.list(RESOURCES.nodes, { signal });
  const pods = await kube.list(RESOURCES.pods, { signal });
  const census = censusOf(blocks.items, pools);
  const machines = census.allocations.some((a) => a.machine !== undefined) ? await machinesOf(ports) : undefined;
  return {
    census,
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
      machines,
    },
  };
}

/** What KubeVirt calls a virtual machine: the VirtualMachine, and what runs of it, or by itself. */
export const MACHINE_KINDS = [RESOURCES.virtualMachines, RESOURCES.virtualMachineInstances] as const;

/** True if the API server has no such kind, or does not let us see it: then nothing can be concluded from an absence. */
export function isUnseen(error: unknown): boolean {
  return isNotFound(error) || (error instanceof KubeError && error.status === 403);
}

async function machinesOf({ kube, signal }: Pick<GcPorts, "kube" | "signal">): Promise<World["machines"]> {
  try {
    const names = new Set<string>();
    let revision = "";
    for (const kind of MACHINE_KINDS) {
      const { items, resourceVersion } = await kube.list(kind, { signal });
      revision = resourceVersion;
      for (const { metadata } of items) names.add(`${metadata.namespace ?? ""}/${metadata.name}`);
    }
    return { names, revision };
  } catch (error) {
    if (isUnseen(error)) return undefined;
    throw error;
  }
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
