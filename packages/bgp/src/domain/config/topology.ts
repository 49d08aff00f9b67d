/**
 * Whom this node speaks to: the mesh, and explicit peers of BGPPeer objects, one per address and port.
 *
 * Explicit peers come before derived ones, global before node-specific, mesh last; the first of an address stays.
 *
 * Deviation: a peer that asks for what this speaker cannot do yet (password, filters, TTL security) is not started, and
 * says so: a session without its filter or password would be worse than none.
 *
 * Source: facts §6.2, §1.9.3.
 */
import { parseIp, parseSelector } from "@calico/model";
import type { BGPPeer } from "@calico/model";
import { asNumberOf, DEFAULT_PORT, DEFAULT_RESTART_SEC, durationSec, meshEnabled, settingOf } from "./settings.ts";
import type { NodeFacts, World } from "./world.ts";

export type PeerType = "node-to-node mesh" | "global" | "node specific";

export type PeerPlan = {
  /** Address, and the port if it is not 179: what tells peers apart. */
  readonly id: string;
  /** As BIRD's protocols are called in Calico: Mesh_…, Global_…, Node_…. */
  readonly name: string;
  readonly type: PeerType;
  readonly address: string;
  readonly port: number;
  readonly peerAs: number;
  readonly localAs: number;
  readonly passive: boolean;
  readonly nextHopMode: "auto" | "self" | "keep";
  readonly rrClient: boolean;
  readonly restartTimeSec: number;
  readonly holdTimeSec: number;
  readonly keepaliveTimeSec?: number;
  readonly allowLocalAs: number;
  /** Bind to the node's address before dialing. */
  readonly bindSource: boolean;
  /** Why it is not started. */
  readonly blocked?: string;
};

export const HOLD_TIME_SEC = 90;

type Remote = { readonly address: string; readonly port: number; readonly peerAs: number; readonly clusterId?: string };
type Self = NodeFacts & { readonly ip4: string };

export type PeerSettings = {
  /** What nodes listen on if BGPConfiguration does not say. */
  readonly listenPort?: number;
  /** Of the mesh only the peer at this address: what a big mesh says of one session. */
  readonly towards?: string;
};

/** All peers of `node`, by id in order; none while the node's own address is unknown. */
export function derivePeers(world: World, node: string, { listenPort = DEFAULT_PORT, towards }: PeerSettings = {}): readonly PeerPlan[] {
  const self = world.nodes.get(node);
  if (self?.ip4 === undefined) return [];
  const me: Self = { ...self, ip4: self.ip4 };
  const specs = [...world.peers.values()].toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const isGlobal = (peer: BGPPeer) => peer.spec.node === undefined && peer.spec.nodeSelector === undefined;
  const ordered = [...specs.filter(isGlobal), ...specs.filter((peer) => !isGlobal(peer))];
  const all = [
    ...ordered.flatMap((peer) => explicitPeers(world, me, peer, listenPort)),
    ...ordered.flatMap((peer) => reversePeers(world, me, peer, listenPort)),
    ...meshPeers(world, me, { listenPort, towards }),
  ];
  const byId = new Map<string, PeerPlan>();
  for (const peer of all) if (!byId.has(peer.id)) byId.set(peer.id, peer);
  return [...byId.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

function meshPeers(
  world: World,
  me: Self,
  { listenPort, towards }: { readonly listenPort: number; readonly towards: string | undefined },
): readonly PeerPlan[] {
  if (!meshEnabled(world) || me.clusterId !== undefined) return [];
  const spec = world.configurations.get("default")?.spec;
  const blocked = spec?.nodeMeshPassword?.secretKeyRef === undefined ? undefined : "the mesh has a password: TCP MD5 is not supported yet";
  const isPeer = ({ name, clusterId, ip4 }: NodeFacts) =>
    name !== me.name && clusterId === undefined && (towards === undefined || ip4 === towards);
  return nodesByName(world, isPeer)
    .flatMap((node) => remotesOf(world, node, listenPort))
    .filter((remote) => remote.address !== me.ip4)
    .map((remote) => ({
      ...basics(world, me, remote),
      name: `Mesh_${remote.address.replace(/[.:]/g, "_")}`,
      type: "node-to-node mesh",
      passive: remote.address > me.ip4,
      restartTimeSec: durationSec(spec?.nodeMeshMaxRestartTime) ?? DEFAULT_RESTART_SEC,
      ...(blocked === undefined ? {} : { blocked }),
    }));
}

/** Of two nodes that claim one address the first by name is meant, on every node and whichever came first. */
export function nodesByName(world: World, wants: (node: NodeFacts) => boolean = () => true): readonly NodeFacts[] {
  const found: NodeFacts[] = [];
  for (const node of world.nodes.values()) if (wants(node)) found.push(node);
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function basics(world: World, me: Self, remote: Remote) {
  const localAs = asNumberOf(world, me.name);
  return {
    id: remote.port === DEFAULT_PORT ? remote.address : `${remote.address}:${remote.port}`,
    address: remote.address,
    port: remote.port,
    peerAs: remote.peerAs,
    localAs,
    passive: false,
    nextHopMode: "auto" as const,
    rrClient: me.clusterId !== undefined && remote.peerAs === localAs && remote.clusterId !== me.clusterId,
    restartTimeSec: DEFAULT_RESTART_SEC,
    holdTimeSec: HOLD_TIME_SEC,
    allowLocalAs: 0,
    bindSource: true,
  };
}

function remotesOf(world: World, node: NodeFacts, listenPort: number): readonly Remote[] {
  if (node.ip4 === undefined) return [];
  const port = settingOf(world, node.name, "listenPort") ?? listenPort;
  const clusterId = node.clusterId === undefined ? {} : { clusterId: node.clusterId };
  return [{ address: node.ip4, port, peerAs: asNumberOf(world, node.name), ...clusterId }];
}

/** The side of a BGPPeer that `node` and `nodeSelector` choose. */
function isLocalSide(peer: BGPPeer, node: NodeFacts): boolean {
  if (peer.spec.node !== undefined) return peer.spec.node === node.name;
  return peer.spec.nodeSelector === undefined || matches(peer.spec.nodeSelector, node);
}

function matches(selector: string, node: NodeFacts): boolean {
  const parsed = parseSelector(selector);
  return parsed.ok && parsed.value.matches(node.labels);
}

function explicitPeers(world: World, me: Self, peer: BGPPeer, listenPort: number): readonly PeerPlan[] {
  const { peerIP, peerSelector } = peer.spec;
  if (!isLocalSide(peer, me)) return [];
  const remotes =
    peerSelector !== undefined
      ? nodesByName(world)
          .filter((node) => matches(peerSelector, node))
          .flatMap((node) => remotesOf(world, node, listenPort))
      : peerIP !== undefined
        ? remoteOfPeerIp(world, me, peer, peerIP)
        : [];
  return remotes.filter((remote) => remote.address !== me.ip4).map((remote) => explicitPeer(world, me, peer, remote));
}

/** The other end of someone's peerSelector that chose us. Source: facts §6.2.4. */
function reversePeers(world: World, me: Self, peer: BGPPeer, listenPort: number): readonly PeerPlan[] {
  const { peerSelector, reversePeering } = peer.spec;
  if (peerSelector === undefined || reversePeering === "Manual" || !matches(peerSelector, me)) return [];
  return nodesByName(world)
    .filter((node) => node.name !== me.name && isLocalSide(peer, node))
    .flatMap((node) => remotesOf(world, node, listenPort))
    .map((remote) => explicitPeer(world, me, peer, remote));
}

/** IPv4 only: `ip` or `ip:port`. An address of a node's takes that node's facts. */
function remoteOfPeerIp(world: World, me: Self, peer: BGPPeer, peerIP: string): readonly Remote[] {
  const [, address, port] = /^([^:]+)(?::(\d+))?$/.exec(peerIP) ?? [];
  const ip = address === undefined ? undefined : parseIp(address);
  if (address === undefined || !ip?.ok) return [];
  const node = nodesByName(world).find((candidate) => candidate.ip4 === address);
  const peerAs = peer.spec.asNumber ?? asNumberOf(world, node?.name ?? me.name);
  const clusterId = node?.clusterId === undefined ? {} : { clusterId: node.clusterId };
  return [{ address, port: port === undefined ? DEFAULT_PORT : Number(port), peerAs: Number(peerAs), ...clusterId }];
}

function explicitPeer(world: World, me: Self, peer: BGPPeer, remote: Remote): PeerPlan {
  const { spec } = peer;
  const base = basics(world, me, remote);
  const type = spec.node === undefined && spec.nodeSelector === undefined ? "global" : "node specific";
  const keepaliveTimeSec = durationSec(spec.keepaliveTime);
  const blocked = blockedBy(peer);
  const suffix = remote.port === DEFAULT_PORT ? "" : `_port_${remote.port}`;
  const localAs = spec.localASNumber === undefined ? base.localAs : Number(spec.localASNumber);
  return {
    ...base,
    name: `${type === "global" ? "Global" : "Node"}_${remote.address.replace(/[.:]/g, "_")}${suffix}`,
    type,
    localAs,
    nextHopMode: nextHopMode(peer, localAs === remote.peerAs),
    restartTimeSec: durationSec(spec.maxRestartTime) ?? DEFAULT_RESTART_SEC,
    holdTimeSec: Math.max(HOLD_TIME_SEC, 3 * (keepaliveTimeSec ?? 0)),
    ...(keepaliveTimeSec === undefined ? {} : { keepaliveTimeSec }),
    allowLocalAs: spec.numAllowedLocalASNumbers ?? 0,
    bindSource: spec.sourceAddress !== "None",
    ...(blocked === undefined ? {} : { blocked }),
  };
}

/** Source: facts §6.2.9. */
function nextHopMode(peer: BGPPeer, ibgp: boolean): "auto" | "self" | "keep" {
  if (peer.spec.nextHopMode === "Self") return "self";
  if (peer.spec.nextHopMode === "Keep") return "keep";
  return peer.spec.keepOriginalNextHop === true && !ibgp ? "keep" : "auto";
}

function blockedBy({ metadata, spec }: BGPPeer): string | undefined {
  const wanted = [
    spec.password?.secretKeyRef !== undefined && "password (TCP MD5)",
    (spec.filters?.length ?? 0) > 0 && "filters",
    (spec.ttlSecurity ?? 0) > 0 && "ttlSecurity",
    spec.reachableBy !== undefined && "reachableBy",
  ].filter((name) => name !== false);
  return wanted.length === 0 ? undefined : `BGPPeer "${metadata.name}" asks for ${wanted.join(", ")}: not supported yet`;
}
