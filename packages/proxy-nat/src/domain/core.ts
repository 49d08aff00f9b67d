/**
 * Events in, chains out. The desired chains are a function of the services and slices that there are now, whatever the order they came in;
 * what is remembered besides is what was handed out last, so that only what changed is written.
 */
import type { FeedEvent } from "@calico/bus";
import type { Kind } from "@calico/model";
import { chainKey, sameChain, type Chain, type ChainRef } from "./chain.ts";
import { makeDispatch } from "./dispatch.ts";
import { OURS, type Family } from "./names.ts";
import { EMPTY_PROGRAM, renderService, type Program, type UdpPort } from "./program.ts";
import { staleFlows, type StaleFlow } from "./stale-udp.ts";
import { renderStatics, type StaticConfig } from "./statics.ts";
import { makeWorld, type Problem, type World } from "./world.ts";

export type { Problem } from "./world.ts";
export type { StaleFlow } from "./stale-udp.ts";

/** The kinds that this core listens to. */
export const NAT_KINDS: readonly Kind[] = ["KubernetesService", "KubernetesEndpointSlice"];

export interface NatConfig extends StaticConfig {
  readonly node: string;
  readonly families: readonly Family[];
}

export interface Changes {
  readonly set: readonly Chain[];
  readonly remove: readonly ChainRef[];
  readonly staleUdp: readonly StaleFlow[];
  /** "namespace/name" of the services that changed, sorted. */
  readonly services: readonly string[];
}

export interface NatCore {
  update(event: FeedEvent): Problem | undefined;
  /** What changed since the last flush. The first flush carries everything. */
  flush(): Changes;
  /** All desired chains, as of the last flush, by chainKey. */
  chains(): ReadonlyMap<string, Chain>;
  /** The UDP ports of all services, as of the last flush. */
  udpPorts(): readonly UdpPort[];
  counts(): { readonly services: number; readonly slices: number };
}

/** A core with no services yet: static chains only. */
export function makeNatCore(config: NatConfig): NatCore {
  const world = makeWorld();
  const sent = new Map<string, Program>();
  const chains = new Map<string, Chain>();
  const trees = config.families.flatMap(treesOf);
  let statics: readonly Chain[] = config.families.flatMap((family) => renderStatics(family, config));

  function replace(id: string, delta: Delta): void {
    const before = sent.get(id) ?? EMPTY_PROGRAM;
    const after = programOf(world, id, config);
    if (after === EMPTY_PROGRAM) sent.delete(id);
    else sent.set(id, after);
    for (const tree of trees) tree.put(id, after);
    delta.remove.push(...before.chains);
    delta.set.push(...after.chains);
    delta.staleUdp.push(...staleFlows(before.udp, after.udp));
  }

  return {
    update: (event) => world.update(event),
    flush() {
      const delta: Delta = { set: [...statics], remove: [], staleUdp: [] };
      statics = [];
      const services = world.takeDirty().filter((id) => sent.has(id) || world.service(id) !== undefined);
      for (const id of services) replace(id, delta);
      for (const tree of trees) {
        const { set, remove } = tree.flush();
        delta.set.push(...set);
        delta.remove.push(...remove);
      }
      return { ...settle(chains, delta), staleUdp: delta.staleUdp, services };
    },
    chains: () => chains,
    udpPorts: () => [...sent.values()].flatMap((p) => p.udp),
    counts: () => ({ services: sent.size, slices: world.sliceCount() }),
  };
}

interface Delta {
  readonly set: Chain[];
  readonly remove: ChainRef[];
  readonly staleUdp: StaleFlow[];
}

function programOf(world: World, id: string, config: NatConfig): Program {
  const found = world.service(id);
  if (found === undefined) return EMPTY_PROGRAM;
  const clusterIps = found.service.clusterIps.filter((ip) => config.families.includes(ip.family));
  return renderService(id, { ...found.service, clusterIps }, { slices: found.slices, node: config.node });
}

/** Keep what is desired in `chains`, and leave only real differences. */
function settle(chains: Map<string, Chain>, delta: Delta): Pick<Changes, "set" | "remove"> {
  const wanted = new Map(delta.set.map((c) => [chainKey(c), c]));
  const unwanted = new Map(delta.remove.map((c) => [chainKey(c), c]));
  const remove = [...unwanted].filter(([key]) => !wanted.has(key) && chains.delete(key)).map(([, ref]) => ref);
  const set = [...wanted].filter(([key, chain]) => {
    const known = chains.get(key);
    chains.set(key, chain);
    return known === undefined || !sameChain(known, chain);
  });
  return { set: set.map(([, chain]) => chain), remove };
}

interface Tree {
  put(owner: string, program: Program): void;
  flush(): { readonly set: readonly Chain[]; readonly remove: readonly ChainRef[] };
}

function treesOf(family: Family): readonly Tree[] {
  const nat = makeDispatch({ family, table: "nat", root: OURS.services, branch: OURS.servicesBranch });
  const filter = makeDispatch({ family, table: "filter", root: OURS.unserved, branch: OURS.unservedBranch });
  const mine = (entries: Program["served"]) => entries.filter((e) => e.ip.family === family);
  return [
    { put: (owner, p) => nat.put(owner, mine(p.served)), flush: () => nat.flush() },
    { put: (owner, p) => filter.put(owner, mine(p.unserved)), flush: () => filter.flush() },
  ];
}
