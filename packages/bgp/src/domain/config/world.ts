/**
 * What the bus has told, as far as routing needs it. Each object is parsed once; a broken one counts as absent and is reported.
 *
 * Source: design "2. etcd is the truth, NATS carries it"; facts §1.9, §2.3.
 */
import { formatCidr, formatIp, nthIp, parseCidr, parseInterfaceAddress, parseResource, cidrOf } from "@calico/model";
import type { BGPConfiguration, BGPPeer, Cidr, FieldError, IPAMBlockValue, IPPool, Kind, Node, ParsedKey } from "@calico/model";

import { deepEqual } from "../deep-equal.ts";

/** The kinds that routing follows on the bus. */
export const KINDS_FOLLOWED = [
  "Node",
  "BGPPeer",
  "BGPConfiguration",
  "IPPool",
  "BlockAffinity",
  "IPAMBlock",
] as const satisfies readonly Kind[];

export type NodeFacts = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The BGP address and its network; undefined: IPv4 is disabled on the node. */
  readonly ip4?: string;
  readonly network4?: Cidr;
  readonly asNumber?: number;
  readonly clusterId?: string;
};

export type PoolFacts = {
  readonly name: string;
  readonly cidr: Cidr;
  readonly exported: boolean;
  readonly ipip: Encap;
  readonly vxlan: Encap;
};
export type Encap = "Never" | "Always" | "CrossSubnet";

export type World = {
  readonly nodes: ReadonlyMap<string, NodeFacts>;
  readonly peers: ReadonlyMap<string, BGPPeer>;
  readonly configurations: ReadonlyMap<string, BGPConfiguration>;
  readonly pools: ReadonlyMap<string, PoolFacts>;
  /** This node's blocks with a confirmed affinity, by key. */
  readonly blocks: ReadonlyMap<string, Cidr>;
  /** Addresses of this node's that are in others' blocks, by key of the block. */
  readonly borrowed: ReadonlyMap<string, readonly string[]>;
};

/** The part of a bus event that says what changed. Structurally the bus's FeedEvent. */
export type ObjectEvent =
  | { readonly kind: "updated"; readonly key: string; readonly ref: ParsedKey; readonly value: unknown }
  | { readonly kind: "deleted"; readonly key: string; readonly ref: ParsedKey };

export type Rejected = { readonly key: string; readonly errors: readonly FieldError[] };

export interface WorldStore {
  readonly world: World;
  /** Take one event: whether the world is another one now, and what was wrong with the object, if anything. */
  take(event: ObjectEvent): { readonly changed: boolean; readonly rejected?: Rejected };
}

type Shelf = {
  readonly delete: (key: string) => boolean;
  readonly put: (event: ObjectEvent & { kind: "updated" }) => { readonly changed: boolean; readonly errors: readonly FieldError[] };
};

/** An empty world of one node. */
export function makeWorld(node: string): WorldStore {
  const world = {
    nodes: new Map<string, NodeFacts>(),
    peers: new Map<string, BGPPeer>(),
    configurations: new Map<string, BGPConfiguration>(),
    pools: new Map<string, PoolFacts>(),
    blocks: new Map<string, Cidr>(),
    borrowed: new Map<string, readonly string[]>(),
  };
  const shelves: Readonly<Partial<Record<Kind, Shelf>>> = {
    Node: shelf("Node", world.nodes, nodeFacts, byName),
    BGPPeer: shelf("BGPPeer", world.peers, (peer) => peer, byName),
    BGPConfiguration: shelf("BGPConfiguration", world.configurations, (configuration) => configuration, byName),
    IPPool: shelf("IPPool", world.pools, poolFacts, byName),
    BlockAffinity: shelf("BlockAffinity", world.blocks, (value, { ref }) => ownBlock(value.state, ref, node), byKey),
    IPAMBlock: shelf("IPAMBlock", world.borrowed, (value) => borrowedAddresses(value, node), byKey),
  };
  return {
    world,
    take(event) {
      const place = shelves[event.ref.ref.kind];
      if (place === undefined) return { changed: false };
      if (event.kind === "deleted") return { changed: place.delete(placeKey(event)) };
      const { changed, errors } = place.put(event);
      return { changed, ...(errors.length === 0 ? {} : { rejected: { key: event.key, errors } }) };
    },
  };
}

const byName = (event: ObjectEvent): string => event.ref.ref.name;
const byKey = (event: ObjectEvent): string => event.key;

function placeKey(event: ObjectEvent): string {
  const { kind } = event.ref.ref;
  return kind === "BlockAffinity" || kind === "IPAMBlock" ? byKey(event) : byName(event);
}

function shelf<K extends (typeof KINDS_FOLLOWED)[number], T>(
  kind: K,
  map: Map<string, T>,
  of: (value: Extract<ReturnType<typeof parseResource<K>>, { ok: true }>["value"], event: ObjectEvent) => T | undefined,
  keyOf: (event: ObjectEvent) => string,
): Shelf {
  return {
    delete: (key) => map.delete(key),
    put(event) {
      const parsed = parseResource(kind, event.value);
      const facts = parsed.ok ? of(parsed.value, event) : undefined;
      const key = keyOf(event);
      const changed = !deepEqual(map.get(key), facts);
      if (facts === undefined) map.delete(key);
      else map.set(key, facts);
      return { changed, errors: parsed.ok ? [] : parsed.error };
    },
  };
}

function nodeFacts(node: Node): NodeFacts {
  const { bgp } = node.spec;
  const address = bgp?.ipv4Address === undefined ? undefined : parseInterfaceAddress(bgp.ipv4Address);
  const ip4 = address?.ok ? address.value : undefined;
  return {
    name: node.metadata.name,
    labels: node.metadata.labels ?? {},
    ...(ip4 === undefined ? {} : { ip4: formatIp(ip4.ip), network4: cidrOf(ip4.ip, ip4.len) }),
    ...(bgp?.asNumber === undefined ? {} : { asNumber: Number(bgp.asNumber) }),
    ...(bgp?.routeReflectorClusterID === undefined ? {} : { clusterId: bgp.routeReflectorClusterID }),
  };
}

function poolFacts(pool: IPPool): PoolFacts | undefined {
  const { cidr, disabled, disableBGPExport, ipipMode, vxlanMode } = pool.spec;
  const parsed = parseCidr(cidr);
  if (!parsed.ok) return undefined;
  return { name: pool.metadata.name, cidr: parsed.value, exported: !disabled && !disableBGPExport, ipip: ipipMode, vxlan: vxlanMode };
}

/** The block, if the affinity is this host's and confirmed. Source: facts §6.3.4 (pending blocks are only a comment). */
function ownBlock(state: string, key: ParsedKey, node: string): Cidr | undefined {
  if (key.host !== node || key.affinityType === "virtual" || state !== "confirmed" || key.cidr === undefined) return undefined;
  const parsed = parseCidr(key.cidr);
  return parsed.ok ? parsed.value : undefined;
}

/** Addresses that this node uses out of a block with another owner: each has to be told of on its own. Source: facts §6.3.4. */
function borrowedAddresses(block: IPAMBlockValue, node: string): readonly string[] | undefined {
  const cidr = parseCidr(block.cidr);
  if (!cidr.ok || block.affinity === `host:${node}`) return undefined;
  const mine = new Set<number>();
  block.attributes.forEach((attribute, i) => {
    if (attribute.secondary?.["node"] === node && !attribute.releasedAt) mine.add(i);
  });
  if (mine.size === 0) return undefined;
  return block.allocations.flatMap((attribute, ordinal) =>
    attribute !== null && mine.has(attribute) ? [formatCidr(cidrOf(nthIp(cidr.value, ordinal), cidr.value.family === 4 ? 32 : 128))] : [],
  );
}
