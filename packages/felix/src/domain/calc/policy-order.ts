/**
 * The order of tiers and of policies in them: what a packet meets first.
 *
 * Source: Calico felix/calc/policy_sorter.go (PolKVLess, tierInfo); facts 5.2.6.
 */
import type { ActivePolicy } from "@calico/model";
import type { PolicyId } from "../names.ts";
import type { EndpointTier } from "../render/endpoint-chains.ts";

export type TierInfo = { readonly order: number; readonly defaultAction: "Deny" | "Pass" };

/** Tiers that every cluster has; what an unwritten one means. Source: Calico EnsureInitialized. */
const BUILT_IN: Readonly<Record<string, TierInfo>> = {
  default: { order: 1_000_000, defaultAction: "Deny" },
  "kube-admin": { order: 1_000, defaultAction: "Pass" },
  "kube-baseline": { order: 10_000_000, defaultAction: "Pass" },
};

/** A tier nobody described comes last and denies: its policies still hold. */
const UNKNOWN: TierInfo = { order: Infinity, defaultAction: "Deny" };

export function tierInfo(name: string, tiers: ReadonlyMap<string, TierInfo>): TierInfo {
  return tiers.get(name) ?? (Object.hasOwn(BUILT_IN, name) ? BUILT_IN[name]! : UNKNOWN);
}

export function policyId(policy: ActivePolicy): PolicyId {
  const { kind, namespace, name } = policy;
  return { kind, ...(namespace === undefined ? {} : { namespace }), name };
}

/** The policies that apply to one endpoint, by tier, in order. */
export function orderPolicies(policies: readonly ActivePolicy[], tiers: ReadonlyMap<string, TierInfo>): readonly EndpointTier[] {
  const byTier = Map.groupBy(policies, (policy) => policy.tier);
  const names = [...byTier.keys()].toSorted(
    (a, b) => compareNumbers(tierInfo(a, tiers).order, tierInfo(b, tiers).order) || compareText(a, b),
  );
  return names.map((name): EndpointTier => {
    const sorted = byTier.get(name)!.toSorted(comparePolicies);
    const of = (type: "Ingress" | "Egress") => sorted.filter((p) => p.types.includes(type)).map(policyId);
    return { name, defaultAction: tierInfo(name, tiers).defaultAction, ingress: of("Ingress"), egress: of("Egress") };
  });
}

function comparePolicies(a: ActivePolicy, b: ActivePolicy): number {
  return compareNumbers(a.order ?? Infinity, b.order ?? Infinity) || compareText(sortName(a), sortName(b));
}

const sortName = (p: ActivePolicy): string => `${p.name}/${p.namespace ?? ""}/${p.kind}`;
const compareNumbers = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1);
const compareText = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1);
