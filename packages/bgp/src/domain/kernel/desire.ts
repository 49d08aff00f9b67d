/**
 * The kernel route that a prefix should have, by what the prefix is and which pool holds it.
 *
 * | prefix | route |
 * |---|---|
 * | own block | blackhole: its pods have /32 routes, the rest goes nowhere |
 * | own address in another's block | none: felix has the /32 |
 * | in a VXLAN pool | none: felix programs it |
 * | in an IPIP pool | through tunl0, onlink; CrossSubnet: direct inside of the node's subnet |
 * | anything else | through the next hop |
 *
 * Deviation: no metric. Calico's current releases give 1024; the routes asked for here have none.
 *
 * Source: facts §6.3.5 and §6.3.7; DESIGN.md §4.7.
 */
import { parseCidr } from "@calico/model";
import type { Cidr } from "@calico/model";
import { inSubnet, poolOf } from "../config/plan.ts";
import type { Plan } from "../config/plan.ts";
import type { PoolFacts } from "../config/world.ts";
import type { Path } from "../rib/path.ts";
import { resolveNextHop } from "./next-hop.ts";
import type { Reachability } from "./next-hop.ts";

/** Our mark on routes in the kernel. Source: DESIGN.md §4.4. */
export const BGP_PROTOCOL = 179;
export const IPIP_DEVICE = "tunl0";

export type Hop = { readonly via: string; readonly dev: string; readonly onlink?: true };

export type KernelRoute =
  { readonly dst: string; readonly type: "blackhole" } | { readonly dst: string; readonly type: "unicast"; readonly hops: readonly Hop[] };

/** A route, no route because none is wanted, or no route because there is no way to the next hop. */
export type Desire =
  | { readonly kind: "route"; readonly route: KernelRoute }
  | { readonly kind: "none"; readonly why: string }
  | { readonly kind: "unreachable"; readonly nextHops: readonly string[] };

export type DesireInput = { readonly plan: Plan; readonly reach: Reachability };

/** `paths` is the multipath set, best first. */
export function desireOf(prefix: string, paths: readonly Path[], { plan, reach }: DesireInput): Desire {
  const cidr = parseCidr(prefix);
  const best = paths[0];
  if (!cidr.ok || best === undefined) return { kind: "none", why: "no path" };
  if (best.from === undefined) return desireOfOwn(prefix, cidr.value, plan);
  const pool = poolOf(plan.pools, cidr.value);
  if (pool !== undefined && pool.vxlan !== "Never") return { kind: "none", why: "felix programs routes of VXLAN pools" };
  const nextHops = [...new Set(paths.flatMap(({ nextHop }) => (nextHop === undefined ? [] : [nextHop])))];
  const hops = nextHops.flatMap((nextHop) => hopOf(nextHop, pool, { plan, reach }) ?? []);
  return hops.length === 0 ? { kind: "unreachable", nextHops } : { kind: "route", route: { dst: prefix, type: "unicast", hops } };
}

function desireOfOwn(prefix: string, cidr: Cidr, plan: Plan): Desire {
  const isBlock = plan.ownBlocks.some((block) => block.family === cidr.family && block.value === cidr.value && block.len === cidr.len);
  const single = cidr.len === (cidr.family === 4 ? 32 : 128);
  if (!isBlock || single) return { kind: "none", why: "a single address: felix has its route" };
  return { kind: "route", route: { dst: prefix, type: "blackhole" } };
}

function hopOf(nextHop: string, pool: PoolFacts | undefined, { plan, reach }: DesireInput): Hop | undefined {
  const ipip = pool?.ipip ?? "Never";
  if (ipip === "Always" || (ipip === "CrossSubnet" && !inSubnet(plan, nextHop))) return { via: nextHop, dev: IPIP_DEVICE, onlink: true };
  return resolveNextHop(nextHop, reach);
}
