/**
 * The routes that one node's kernel is given, from the datastore's events alone: every session between nodes that the
 * datastore plans is taken as up, and the real tables of both its ends exchange what they would tell each other.
 *
 * Not in the events, and so said in comments instead: routes of peers that are no nodes, and which device leads to a
 * next hop that is not in the node's own subnet.
 */
import { parseKey } from "@calico/model";
import { makeExportFilter } from "./rib/export.ts";
import { passesOn, routingConfigOf } from "./rib/peer-config.ts";
import { Routing } from "./rib/routing.ts";
import { derivePlan, type Plan } from "./config/plan.ts";
import { nodesByName, type PeerPlan } from "./config/topology.ts";
import { makeWorld, type ObjectEvent, type World } from "./config/world.ts";
import type { Session } from "./fsm/state.ts";
import { BGP_PROTOCOL, desireOf, type KernelRoute } from "./kernel/desire.ts";
import type { Reachability } from "./kernel/next-hop.ts";

export type RenderOptions = {
  /** The device of the node's own subnet. Undefined: routes through it are printed without one. */
  readonly device?: string;
  readonly routerId?: string;
  readonly listenPort?: number;
};

type Event = ObjectEvent | { readonly kind: "inSync" };
type Router = { readonly name: string; readonly plan: Plan; readonly routing: Routing; readonly peers: Map<string, Link> };
/** The other end of a session, and what this end is called there. */
type Link = { readonly to: Router; readonly idThere: string };

const ANY_DEVICE = "\u0000";

/** One `ip route` line a route, sorted, with comments about what the events cannot say. The same events give the same text. */
export function renderNode(events: Iterable<Event>, node: string, options: RenderOptions = {}): string {
  const plans = makePlans(events, node, options);
  const plan = plans.of(node);
  if (plan.disabled !== undefined) return `# ${plan.disabled}\n`;
  const router = connect(node, plans);
  const reach: Reachability = { connected: [{ network: plan.network, dev: options.device ?? ANY_DEVICE }], onward: [], ownAddresses: [] };
  const lines = [...router.routing.rib.prefixes()].toSorted().flatMap((prefix) => {
    const desire = desireOf(prefix, router.routing.rib.best(prefix), { plan, reach });
    if (desire.kind === "none") return [];
    if (desire.kind === "route") return [formatRoute(desire.route)];
    return [`# ${prefix} by the kernel's own way to ${desire.nextHops.join(" and ")}`];
  });
  return [...headingOf(plan, router), ...lines].map((line) => `${line}\n`).join("");
}

function headingOf(plan: Plan, router: Router): readonly string[] {
  const peers = plan.peers.map((peer) => {
    const why = peer.blocked ?? (router.peers.has(peer.id) ? undefined : "no node of the datastore: its routes are not known");
    return `# peer ${peer.name} ${peer.id} AS ${peer.peerAs}${why === undefined ? "" : `: ${why}`}`;
  });
  return [`# AS ${plan.localAs}, router id ${plan.routerId}`, ...peers];
}

function formatRoute(route: KernelRoute): string {
  if (route.type === "blackhole") return `blackhole ${route.dst} proto ${BGP_PROTOCOL}`;
  const [hop, ...more] = route.hops.map(
    ({ via, dev, onlink }) => `via ${via}${dev === ANY_DEVICE ? "" : ` dev ${dev}`}${onlink === true ? " onlink" : ""}`,
  );
  if (more.length === 0) return `${route.dst} proto ${BGP_PROTOCOL} ${hop}`;
  return `${route.dst} proto ${BGP_PROTOCOL} ${[hop, ...more].map((text) => `nexthop ${text}`).join(" ")}`;
}

interface Plans {
  of(node: string): Plan;
  /** The node that has this address. */
  nodeAt(address: string): string | undefined;
}

/** Every node's plan, each made when it is asked for. */
function makePlans(events: Iterable<Event>, node: string, settings: RenderOptions): Plans {
  const last = new Map<string, ObjectEvent & { kind: "updated" }>();
  for (const event of events) {
    if (event.kind === "updated") last.set(event.key, event);
    else if (event.kind === "deleted") last.delete(event.key);
  }
  const shared = makeWorld(node);
  const owned = new Map<string, ObjectEvent[]>();
  for (const event of last.values()) {
    shared.take(event);
    for (const owner of ownersOf(event)) owned.set(owner, [...(owned.get(owner) ?? []), event]);
  }
  const names = new Map(
    nodesByName(shared.world)
      .toReversed()
      .flatMap(({ ip4, name }) => (ip4 === undefined ? [] : [[ip4, name] as const])),
  );
  const plans = new Map<string, Plan>();
  const { routerId, listenPort } = settings;
  const common = { ...(listenPort === undefined ? {} : { listenPort }) };
  const address = shared.world.nodes.get(node)?.ip4;
  const others = address !== undefined && isPlainMesh(shared.world) ? { towards: address } : {};
  return {
    nodeAt: (address) => names.get(address),
    of(name) {
      const own = name !== node ? others : routerId === undefined ? {} : { routerId };
      const plan = plans.get(name) ?? derivePlan(worldOf(shared.world, name, owned.get(name) ?? []), { node: name, ...common, ...own });
      plans.set(name, plan);
      return plan;
    },
  };
}

/** Nobody passes routes on, so of another node nothing matters but its session with this one: a mesh of n nodes costs n, not n². */
function isPlainMesh({ peers, nodes, configurations }: World): boolean {
  const own = [...nodes.values()].some(({ asNumber, clusterId }) => asNumber !== undefined || clusterId !== undefined);
  return peers.size === 0 && !own && [...configurations.keys()].every((name) => name === "default");
}

/** Nodes for whom a block or an affinity says something. */
function ownersOf(event: ObjectEvent & { kind: "updated" }): readonly string[] {
  const { ref, host } = event.ref;
  if (ref.kind === "BlockAffinity") return [host ?? parseKey(event.key)?.host ?? ""];
  if (ref.kind !== "IPAMBlock") return [];
  const { attributes } = event.value as { readonly attributes?: readonly { readonly secondary?: { readonly node?: unknown } }[] };
  const nodes = Array.isArray(attributes) ? attributes.map((a: { secondary?: { node?: unknown } } | null) => a?.secondary?.node) : [];
  return [...new Set(nodes.filter((name): name is string => typeof name === "string"))];
}

function worldOf(shared: World, node: string, events: readonly ObjectEvent[]): World {
  const own = makeWorld(node);
  for (const event of events) own.take(event);
  return { ...shared, blocks: own.world.blocks, borrowed: own.world.borrowed };
}

/** The node's router with all that its peers would have told it, once nobody has anything more to tell. */
function connect(node: string, plans: Plans): Router {
  const routers = new Map<string, Router>();
  const routerOf = (name: string): Router => {
    const known = routers.get(name);
    if (known !== undefined) return known;
    const made = makeRouter(name, plans.of(name));
    routers.set(name, made);
    return made;
  };
  const waiting = [routerOf(node)];
  const asked = new Set([node]);
  for (let router = waiting.shift(); router !== undefined; router = waiting.shift()) {
    for (const peer of router.plan.peers) {
      const name = peer.blocked === undefined ? plans.nodeAt(peer.address) : undefined;
      if (name === undefined || router.peers.has(peer.id)) continue;
      const back = plans.of(name).peers.find((p) => p.address === router?.plan.address && p.blocked === undefined);
      if (back === undefined) continue;
      const other = routerOf(name);
      openSession({ router, peer }, { router: other, peer: back });
      // One that tells only its own routes needs no peers but this one.
      if (passesOn(other.plan) && !asked.has(name)) waiting.push(other);
      asked.add(name);
    }
  }
  exchange([...routers.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)));
  return routerOf(node);
}

function makeRouter(name: string, plan: Plan): Router {
  const routing = new Routing({ holdEndOfRib: false });
  routing.setOriginated(plan.originated);
  routing.setExportFilter(makeExportFilter(plan));
  return { name, plan, routing, peers: new Map() };
}

type End = { readonly router: Router; readonly peer: PeerPlan };

function openSession(a: End, b: End): void {
  for (const [near, far] of [
    [a, b],
    [b, a],
  ] as const) {
    near.router.peers.set(near.peer.id, { to: far.router, idThere: far.peer.id });
    near.router.routing.sessionUp(near.peer.id, sessionOf(near.peer, far.router.plan), routingConfigOf(near.peer, near.router.plan, []), 0);
  }
}

function sessionOf(peer: PeerPlan, there: Plan): Session {
  return {
    peerAs: peer.peerAs,
    peerRouterId: there.routerId,
    ibgp: peer.localAs === peer.peerAs,
    as4: true,
    holdTimeSec: 0,
    keepaliveSec: 0,
    families: [4],
    routeRefresh: true,
  };
}

/** Updates go around until there are none. Bounded, should routes ever chase each other. */
function exchange(routers: readonly Router[]): void {
  for (let round = 0; round <= routers.length + 1; round++) {
    const told = routers.flatMap((from) =>
      from.routing.flush().outgoing.map(({ peer, updates }) => ({ link: from.peers.get(peer), updates })),
    );
    if (told.length === 0) return;
    for (const { link, updates } of told) for (const update of updates) link?.to.routing.take(link.idThere, update);
  }
}
