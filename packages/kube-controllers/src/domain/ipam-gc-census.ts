/** etcd's records, parsed for the collector: allocations, endpoints, who has which block, and what contradicts itself. */
import { isCooling, isEmpty, ownerOf, ownersAt, parseBlock, parseClaimant, poolOfBlock, type Owners, type Pool } from "@calico/ipam";
import type { KeyValue } from "@calico/datastore";
import { formatCidr, formatIp, isVmHandle, nthIp, parseKey } from "@calico/model";
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
    blocks.push({ cidr, pool, host, empty: isEmpty(block) });
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
      const machine = machineOf(owner.handleId, ownersAt(block, ordinal));
      const found = { id, ip, block: cidr, pool, handle: owner.handleId, sequence, node, pod, namespace, type, service, borrowed };
      allocations.push(machine === undefined ? found : { ...found, machine });
    }
  }
  return { allocations, blocks, cooling, broken };
}

/** By what its owners say, else by the handle: a machine that does not run has no owner's attributes. */
function machineOf(handle: string | undefined, { active, alternate }: Owners): Allocation["machine"] {
  const attributes = [active, alternate].filter((o) => o !== undefined);
  const said = attributes.find((o) => o["vmi-name"] !== undefined);
  const isMachines = said !== undefined || (attributes.length === 0 && handle !== undefined && isVmHandle(handle));
  if (!isMachines) return undefined;
  const owners = attributes.flatMap(({ namespace, pod, node }) =>
    namespace === undefined || pod === undefined || node === undefined ? [] : [{ namespace, pod, node }],
  );
  return { name: said === undefined ? nameIn(handle ?? "") : `${said["namespace"] ?? ""}/${said["vmi-name"] ?? ""}`, owners };
}

/** `namespace/name` of `network.vmi.namespace.name`; a name that was hashed cannot be read, nor one that may begin at two places. */
function nameIn(handle: string): string | undefined {
  const parts = handle.split(".vmi.");
  const [, namespace, name] = /^([^._]+)\.(.+)$/.exec(parts[1] ?? "") ?? [];
  return parts.length === 2 && namespace !== undefined ? `${namespace}/${name ?? ""}` : undefined;
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
