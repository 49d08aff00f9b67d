/**
 * What an assignment of one family rests on besides the blocks' content: the pools that fit, the host's claims in them.
 * Drawn once for as long as nothing of it changes, so that an address costs no look at a hundred pools.
 */
import type { KeyValue, Store } from "@calico/datastore";
import { affinityPrefix, parseCidr, parseKey } from "@calico/model";
import type { Cidr, Family } from "@calico/model";
import { claimantText, parseAffinity } from "../domain/affinity.ts";
import type { Claimant } from "../domain/affinity.ts";
import { poolOfBlock, selectPools, selectsNode } from "../domain/pools.ts";
import type { Labels, Pool } from "../domain/pools.ts";
import type { AutoAssignRequest } from "../ports.ts";
import { noPoolFault, readNodeLabels } from "./facts.ts";
import type { Facts } from "./facts.ts";
import { IpamFault } from "./fault.ts";

export type Affine = { readonly cidr: Cidr; readonly confirmed: boolean };

export type Plan = {
  readonly pools: readonly Pool[];
  readonly claimant: Claimant;
  /** As the claimant is named in a block. */
  readonly affinity: string;
  /** All claims of the family, in key order. */
  readonly affine: readonly Affine[];
  /** Those in the pools that may be taken from. */
  readonly usable: readonly Affine[];
  /** Blocks of pools that do not select this host any more: to be given back when empty. */
  readonly unselected: readonly Cidr[];
};

export type PlanRequest = { readonly request: AutoAssignRequest; readonly facts: Facts; readonly family: Family };

/** The plan of a request. A fault of kind "noPool" or "invalid" when there can be none. */
export async function planOf(reader: Pick<Store, "get" | "list">, o: PlanRequest): Promise<Plan> {
  const claimant = claimantOf(o.request);
  const prefix = affinityPrefix(claimant.name, o.family).replace("/host/", `/${claimant.type}/`);
  const [labels, claims] = await Promise.all([readNodeLabels(reader, o.request.node), reader.list(prefix)]);
  const known = plansOf(o.facts);
  const key = keyOfPlan(o);
  const before = known.get(key);
  if (before?.labels === labels && before.claims === claims.items) return before.plan;
  const plan = drawn(o, { claimant, labels, claims: claims.items });
  if (known.size >= KNOWN_PLANS) known.clear();
  known.set(key, { labels, claims: claims.items, plan });
  return plan;
}

function claimantOf({ use, node }: AutoAssignRequest): Claimant {
  return use === "LoadBalancer" ? { type: "virtual", name: "load-balancer" } : { type: "host", name: node };
}

type Known = { readonly labels: Labels; readonly claims: readonly KeyValue[]; readonly plan: Plan };

/** One per kind of request: of the namespaces of a node's pods, mostly. */
const KNOWN_PLANS = 256;
const plans = new WeakMap<Facts, Map<string, Known>>();

function plansOf(facts: Facts): Map<string, Known> {
  const known = plans.get(facts) ?? new Map<string, Known>();
  plans.set(facts, known);
  return known;
}

function keyOfPlan({ request, family }: PlanRequest): string {
  return JSON.stringify([family, request.node, request.use, poolsAsked(request, family), request.namespaceLabels]);
}

function poolsAsked(request: AutoAssignRequest, family: Family): readonly string[] {
  return (family === 4 ? request.pools4 : request.pools6) ?? [];
}

function drawn(
  { request, facts, family }: PlanRequest,
  o: { readonly claimant: Claimant; readonly labels: Labels; readonly claims: readonly KeyValue[] },
): Plan {
  const requested = poolsAsked(request, family).map(cidrAsked);
  const use = request.use ?? "Workload";
  const { node, namespaceLabels } = request;
  const pools = selectPools(facts.pools, { family, requested, node, nodeLabels: o.labels, namespaceLabels, use });
  if (!pools.ok) throw noPoolFault(pools.error, facts);
  const affine = o.claims.flatMap(({ key, value }): Affine[] => {
    const cidr = parseCidr(parseKey(key)?.cidr ?? "");
    return cidr.ok ? [{ cidr: cidr.value, confirmed: parseAffinity(value) === "confirmed" }] : [];
  });
  const usable = affine.filter((a) => poolOfBlock(pools.value, a.cidr) !== undefined);
  const unselected = requested.length > 0 ? [] : affine.flatMap((a) => (isUnselected(a, { facts, labels: o.labels, use }) ? [a.cidr] : []));
  return { pools: pools.value, claimant: o.claimant, affinity: claimantText(o.claimant), affine, usable, unselected };
}

function cidrAsked(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!cidr.ok) throw new IpamFault("invalid", cidr.error);
  return cidr.value;
}

/** Of a pool that could serve the request but for its node selector. Source: calico libcalico-go/lib/ipam/pools.go (SelectsNode). */
function isUnselected(
  { cidr }: Affine,
  { facts, labels, use }: { readonly facts: Facts; readonly labels: Labels; readonly use: Pool["uses"][number] },
): boolean {
  const pool = poolOfBlock(facts.pools, cidr);
  return pool !== undefined && !pool.disabled && !selectsNode(pool, labels) && pool.uses.includes(use);
}
