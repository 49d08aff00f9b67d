/** Everything that the world means for one node's speaker, derived whole each time. */
import { cidrOf, formatCidr, parseIp } from "@calico/model";
import type { Cidr } from "@calico/model";
import { routerIdOf } from "./router-id.ts";
import { asNumberOf, DEFAULT_PORT, settingOf } from "./settings.ts";
import { derivePeers } from "./topology.ts";
import type { PeerPlan, PeerSettings } from "./topology.ts";
import type { PoolFacts, World } from "./world.ts";

export type SpeakerSettings = PeerSettings & { readonly node: string; readonly routerId?: string };

export type Plan = {
  /** Why there is no speaking at all, for people. */
  readonly disabled?: string;
  readonly localAs: number;
  readonly routerId: string;
  /** The node's BGP address and its network: what CrossSubnet compares with. */
  readonly address: string;
  readonly network: Cidr;
  readonly clusterId?: string;
  /** Address undefined: all of them. */
  readonly listen: { readonly port: number; readonly address?: string };
  readonly peers: readonly PeerPlan[];
  readonly pools: readonly PoolFacts[];
  readonly ownBlocks: readonly Cidr[];
  /** What this node originates: its blocks, and its addresses in others' blocks. */
  readonly originated: ReadonlySet<string>;
};

const NOWHERE: Cidr = { family: 4, value: 0n, len: 32 };

export function derivePlan(world: World, settings: SpeakerSettings): Plan {
  const { node } = settings;
  const self = world.nodes.get(node);
  const address = self?.ip4;
  const routerId = routerIdOf(settings.routerId, node, address);
  const port = settings.listenPort ?? settingOf(world, node, "listenPort") ?? DEFAULT_PORT;
  const bindAddress = settingOf(world, node, "bindMode") === "NodeIP" ? address : undefined;
  const disabled = whyDisabled(node, self !== undefined, address, routerId, settings.routerId);
  const ownBlocks = [...world.blocks.values()];
  const borrowed = [...world.borrowed.values()].flat();
  return {
    ...(disabled === undefined ? {} : { disabled }),
    localAs: asNumberOf(world, node),
    routerId: routerId ?? "0.0.0.0",
    address: address ?? "0.0.0.0",
    network: self?.network4 ?? NOWHERE,
    ...(self?.clusterId === undefined ? {} : { clusterId: self.clusterId }),
    listen: { port, ...(bindAddress === undefined ? {} : { address: bindAddress }) },
    peers: disabled === undefined ? derivePeers(world, node, settings) : [],
    pools: [...world.pools.values()].toSorted((a, b) => b.cidr.len - a.cidr.len || (a.name < b.name ? -1 : 1)),
    ownBlocks,
    originated: new Set([...ownBlocks.map(formatCidr), ...borrowed]),
  };
}

function whyDisabled(node: string, known: boolean, address: string | undefined, routerId: string | undefined, setting: string | undefined) {
  if (!known) return `there is no Node "${node}" in the datastore: create it, or start with the right --node`;
  if (address === undefined) return `IPv4 disabled on this node: Node "${node}" has no spec.bgp.ipv4Address`;
  if (routerId === undefined) return `--router-id "${setting}" is neither an IPv4 address nor "hash"`;
  return undefined;
}

/** The most specific pool that holds a prefix. `pools` as in a plan: longest first. */
export function poolOf(pools: readonly PoolFacts[], prefix: Cidr): PoolFacts | undefined {
  return pools.find(({ cidr }) => cidr.family === prefix.family && cidr.len <= prefix.len && cidrOf(prefix, cidr.len).value === cidr.value);
}

/** Whether an address is in the node's own subnet. */
export function inSubnet(plan: Plan, address: string): boolean {
  const ip = parseIp(address);
  return ip.ok && ip.value.family === plan.network.family && cidrOf(ip.value, plan.network.len).value === plan.network.value;
}
