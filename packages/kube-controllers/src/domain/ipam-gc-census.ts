/** etcd's records, parsed for the collector: allocations, endpoints, who has which block, and what contradicts itself. */
import { isCooling, ownerOf, parseBlock, parseClaimant, poolOfBlock, type Pool } from "@calico/ipam";
import type { KeyValue } from "@calico/datastore";
import { formatCidr, formatIp, nthIp, parseKey } from "@calico/model";
import { isMap, mapOf } from "./facts.ts";
import type { Allocation, Endpoint } from "./ipam-gc.ts";

export interface BlockLook {
  readonly cidr: string;
  readonly pool: string | undefined;
  /** The host whose it is; undefined for nobody's and for virtual owners. */
  readonly host: string | undefined;
  readonly empty: boolean;
}

export interface Census {
  readonly allocations: readonly Allocation[];
  readonly blocks: readonly BlockLook[];
  readonly cooling: number;
  /** Records that do not parse, with the reason. */
  readonly broken: readonly string[];
}

export function censusOf(records: readonly KeyValue[], pools: readonly Pool[]): Census {
  const allocations: Allocation[] = [];
  const blocks: BlockLook[] = [];
  const broken: string[] = [];
  let cooling = 0;
  for (const { key, value } of records) {
    const parsed = parseBlock(value);
    if (!parsed.ok) {
      broken.push(`${key}: ${parsed.error}`);
      continue;
    }
    const block = parsed.value;
    const claimant = parseClaimant(block.affinity);
    const host = claimant?.type === "host" ? claimant.name : undefined;
    const pool = poolOfBlock(pools, block.cidr)?.name;
    const cidr = formatCidr(block.cidr);
    blocks.push({ cidr, pool, host, empty: block.unallocated.length === block.allocations.length });
    for (const ordinal of block.allocations.keys()) {
      if (isCooling(block, ordinal)) cooling++;
      const owner = ownerOf(block, ordinal);
      if (owner === undefined) continue;
      const ip = formatIp(nthIp(block.cidr, ordinal));
      const sequence = block.sequenceNumberForAllocation.get(ordinal);
      const attrs = owner.secondary ?? {};
      const { node, pod, namespace, type, service } = attrs;
      const borrowed = claimant?.type !== "virtual" && node !== undefined && host !== node;
      const id = `${ip} ${owner.handleId ?? ""} ${sequence ?? ""}`;
      allocations.push({ id, ip, block: cidr, pool, handle: owner.handleId, sequence, node, pod, namespace, type, service, borrowed });
    }
  }
  return { allocations, blocks, cooling, broken };
}

export function endpointsByIp(records: readonly KeyValue[]): ReadonlyMap<string, readonly Endpoint[]> {
  const byIp = new Map<string, Endpoint[]>();
  for (const record of records) {
    const endpoint = endpointOf(record);
    for (const ip of endpoint?.ips ?? []) if (endpoint !== undefined) byIp.set(ip, [...(byIp.get(ip) ?? []), endpoint]);
  }
  return byIp;
}

export function endpointOf({ key, value, modRevision }: KeyValue): Endpoint | undefined {
  const namespace = parseKey(key)?.ref.namespace;
  const spec = mapOf(mapOf(jsonOf(value))["spec"]);
  if (namespace === undefined) return undefined;
  const nets = Array.isArray(spec["ipNetworks"]) ? spec["ipNetworks"].filter((n) => typeof n === "string") : [];
  const pod = typeof spec["pod"] === "string" && spec["pod"] !== "" ? spec["pod"] : undefined;
  return { key, modRevision, namespace, pod, node: String(spec["node"] ?? ""), ips: nets.map((net) => net.split("/")[0] ?? net) };
}

/** A Calico node's name and, if it is Kubernetes', its Kubernetes node's. */
export function kubeNameOfRecord({ key, value }: Pick<KeyValue, "key" | "value">): readonly [string, string | undefined] {
  const refs = mapOf(mapOf(jsonOf(value))["spec"])["orchRefs"];
  const ref = (Array.isArray(refs) ? refs : []).filter(isMap).find((r) => r["orchestrator"] === "k8s");
  return [parseKey(key)?.ref.name ?? key, typeof ref?.["nodeName"] === "string" ? ref["nodeName"] : undefined];
}

/** What does not parse has no fields; the syncer counts it. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
