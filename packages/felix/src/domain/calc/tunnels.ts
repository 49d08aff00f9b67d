/**
 * Tunnels and the routes into them, from nodes, pools and blocks. IPv4 only for now.
 *
 * VXLAN: this node's device, every other node's tunnel end, and a route to each of their blocks in a VXLAN pool; in a CrossSubnet
 * pool, blocks of nodes in the same subnet are reached straight. IPIP: the device and its address (its routes are the BGP
 * speaker's). Half a tunnel end is never sent: a route through it would lead nowhere.
 *
 * Source: Calico felix/calc (vxlan_resolver.go, l3_route_resolver.go, encapsulation_resolver.go); facts 5.10.4, 5.10.5.
 */
import { cidrContains, cidrCovers, cidrOf, formatCidr, formatIp, nthIp, parseCidr, parseInterfaceAddress } from "@calico/model";
import type { Cidr, IPAMBlockValue, IPPool, Ip, Node } from "@calico/model";
import type { IpipDevice, TunnelRoute, VxlanDevice, Vtep } from "../program.ts";
import { KeyedOutput, sameJson } from "./keyed-output.ts";

export const VXLAN_DEVICE = "vxlan.calico";
export const IPIP_DEVICE = "tunl0";
const NO_TUNNEL = JSON.stringify({ wanted: false });

export type NodeFacts = {
  readonly name: string;
  readonly ip: Ip;
  /** The node's own subnet, as its BGP address says. */
  readonly subnet: Cidr;
  readonly vxlanIp: string | undefined;
  readonly vxlanMac: string;
  readonly ipipIp: string | undefined;
};

type Pool = { readonly cidr: Cidr; readonly vxlan: IPPool["spec"]["vxlanMode"]; readonly ipip: IPPool["spec"]["ipipMode"] };
/** Addresses of a block by the node that uses them: the block itself by its affinity, single ones by who borrowed them. */
type Block = { readonly cidr: Cidr; readonly routes: readonly { readonly dst: string; readonly node: string }[] };

export type TunnelOptions = {
  readonly node: string;
  readonly vni: number;
  readonly port: number;
  readonly macOf: (node: string) => string;
};

export class Tunnels {
  readonly #o: TunnelOptions;
  readonly #nodes = new Map<string, NodeFacts>();
  readonly #pools = new Map<string, Pool>();
  readonly #blocks = new Map<string, Block>();
  readonly #blocksOfNode = new Map<string, Set<string>>();
  readonly #dirtyBlocks = new Set<string>();
  readonly #routesOfBlock = new Map<string, readonly string[]>();
  readonly #routes = new KeyedOutput<TunnelRoute>(sameJson);
  readonly #vteps = new KeyedOutput<Vtep>(sameJson);
  #sentVxlan: string | undefined;
  #sentIpip: string | undefined;
  #sentNodeIp: string | undefined;

  constructor(options: TunnelOptions) {
    this.#o = options;
  }

  get vxlanWanted(): boolean {
    return [...this.#pools.values()].some((pool) => pool.vxlan !== "Never");
  }

  get ipipWanted(): boolean {
    return [...this.#pools.values()].some((pool) => pool.ipip !== "Never");
  }

  setPool(name: string, spec: IPPool["spec"] | undefined): void {
    const cidr = spec === undefined ? undefined : parseCidr(spec.cidr);
    if (spec === undefined || cidr === undefined || !cidr.ok || cidr.value.family !== 4) this.#pools.delete(name);
    else this.#pools.set(name, { cidr: cidr.value, vxlan: spec.vxlanMode, ipip: spec.ipipMode });
    for (const key of this.#blocks.keys()) this.#dirtyBlocks.add(key);
    for (const node of this.#nodes.keys()) this.#updateVtep(node);
  }

  setNode(name: string, facts: NodeFacts | undefined): void {
    if (facts === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, facts);
    this.#updateVtep(name);
    const touched = name === this.#o.node ? this.#blocks.keys() : (this.#blocksOfNode.get(name) ?? []);
    for (const key of touched) this.#dirtyBlocks.add(key);
  }

  setBlock(key: string, value: IPAMBlockValue | undefined): void {
    for (const { node } of this.#blocks.get(key)?.routes ?? []) this.#blocksOfNode.get(node)?.delete(key);
    const block = value === undefined ? undefined : blockOf(value);
    if (block === undefined) this.#blocks.delete(key);
    else this.#blocks.set(key, block);
    for (const { node } of block?.routes ?? []) {
      const keys = this.#blocksOfNode.get(node) ?? new Set();
      this.#blocksOfNode.set(node, keys.add(key));
    }
    this.#dirtyBlocks.add(key);
  }

  /** True if this node's packets to `name` may come in a VXLAN. */
  isRemoteVtep(name: string): boolean {
    return this.vxlanWanted && name !== this.#o.node && this.#nodes.get(name)?.vxlanIp !== undefined;
  }

  flush(): {
    readonly routes: ReturnType<KeyedOutput<TunnelRoute>["flush"]>;
    readonly vteps: ReturnType<KeyedOutput<Vtep>["flush"]>;
    readonly vxlan?: { readonly device?: VxlanDevice; readonly wanted: boolean };
    readonly ipip?: { readonly device?: IpipDevice; readonly wanted: boolean };
    readonly nodeIp?: { readonly ip?: string };
  } {
    for (const key of this.#dirtyBlocks) this.#updateRoutes(key);
    this.#dirtyBlocks.clear();
    const vxlan = { device: this.#vxlanDevice(), wanted: this.vxlanWanted };
    const ipip = { device: this.#ipipDevice(), wanted: this.ipipWanted };
    const self = this.#nodes.get(this.#o.node);
    const ip = self === undefined ? undefined : formatIp(self.ip);
    const vxlanText = JSON.stringify(vxlan);
    const ipipText = JSON.stringify(ipip);
    const changes = {
      routes: this.#routes.flush(),
      vteps: this.#vteps.flush(),
      ...(vxlanText === (this.#sentVxlan ?? NO_TUNNEL) ? {} : { vxlan }),
      ...(ip === this.#sentNodeIp ? {} : { nodeIp: { ip } }),
      ...(ipipText === (this.#sentIpip ?? NO_TUNNEL) ? {} : { ipip }),
    };
    this.#sentNodeIp = ip;
    this.#sentVxlan = vxlanText;
    this.#sentIpip = ipipText;
    return changes;
  }

  #vxlanDevice(): VxlanDevice | undefined {
    const self = this.#nodes.get(this.#o.node);
    if (!this.vxlanWanted || self?.vxlanIp === undefined) return undefined;
    const { vni, port } = this.#o;
    return { name: VXLAN_DEVICE, vni, port, mac: self.vxlanMac, local: formatIp(self.ip), address: self.vxlanIp };
  }

  #ipipDevice(): IpipDevice | undefined {
    const self = this.#nodes.get(this.#o.node);
    return this.ipipWanted && self?.ipipIp !== undefined ? { name: IPIP_DEVICE, address: self.ipipIp } : undefined;
  }

  #updateVtep(name: string): void {
    const facts = this.#nodes.get(name);
    const known = facts !== undefined && this.isRemoteVtep(name);
    this.#vteps.set(name, known ? { node: name, mac: facts.vxlanMac, tunnelIp: facts.vxlanIp!, hostIp: formatIp(facts.ip) } : undefined);
  }

  #updateRoutes(key: string): void {
    const block = this.#blocks.get(key);
    const routes = block === undefined ? [] : block.routes.flatMap((r) => this.#routeTo(r, block.cidr));
    const now = routes.map((route) => route.dst);
    for (const dst of this.#routesOfBlock.get(key) ?? []) if (!now.includes(dst)) this.#routes.set(dst, undefined);
    for (const route of routes) this.#routes.set(route.dst, route);
    if (now.length === 0) this.#routesOfBlock.delete(key);
    else this.#routesOfBlock.set(key, now);
  }

  /** The most specific pool that holds a block; of two for the same network the first by name. */
  #poolOf(block: Cidr): Pool | undefined {
    const holding = [...this.#pools].filter(([, pool]) => cidrCovers(pool.cidr, block));
    return holding.toSorted(([a, p], [b, q]) => q.cidr.len - p.cidr.len || (a < b ? -1 : 1))[0]?.[1];
  }

  #routeTo({ dst, node }: Block["routes"][number], block: Cidr): readonly TunnelRoute[] {
    const pool = this.#poolOf(block);
    const remote = this.#nodes.get(node);
    const self = this.#nodes.get(this.#o.node);
    if (pool === undefined || pool.vxlan === "Never" || node === this.#o.node || remote === undefined || self === undefined) return [];
    if (pool.vxlan === "CrossSubnet" && cidrContains(self.subnet, remote.ip)) return [{ dst, via: formatIp(remote.ip) }];
    return remote.vxlanIp === undefined || self.vxlanIp === undefined ? [] : [{ dst, via: remote.vxlanIp, dev: VXLAN_DEVICE }];
  }
}

/** What of a Node matters to routing; undefined until it has an IPv4 address. */
export function nodeFacts({ metadata, spec }: Node, macOf: (node: string) => string): NodeFacts | undefined {
  const address = spec.bgp?.ipv4Address === undefined ? undefined : parseInterfaceAddress(spec.bgp.ipv4Address);
  if (address === undefined || !address.ok || address.value.ip.family !== 4) return undefined;
  return {
    name: metadata.name,
    ip: address.value.ip,
    subnet: cidrOf(address.value.ip, address.value.len),
    vxlanIp: spec.ipv4VXLANTunnelAddr,
    vxlanMac: (spec.vxlanTunnelMACAddr ?? macOf(metadata.name)).toLowerCase(),
    ipipIp: spec.bgp?.ipv4IPIPTunnelAddr,
  };
}

function blockOf(value: IPAMBlockValue): Block | undefined {
  const cidr = parseCidr(value.cidr);
  if (!cidr.ok || cidr.value.family !== 4 || value.deleted === true) return undefined;
  const owner = value.affinity?.startsWith("host:") ? value.affinity.slice("host:".length) : undefined;
  const borrowed = value.allocations.flatMap((index, ordinal) => {
    const node = index === null ? undefined : value.attributes[index]?.secondary?.["node"];
    return node === undefined || node === owner ? [] : [{ dst: `${formatIp(nthIp(cidr.value, ordinal))}/32`, node }];
  });
  return { cidr: cidr.value, routes: [...(owner === undefined ? [] : [{ dst: formatCidr(cidr.value), node: owner }]), ...borrowed] };
}
