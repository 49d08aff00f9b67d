/** Cross-field checks of policies, staged ones and tiers. Source: calico libcalico-go/lib/validator/v3 and the CEL rules of the v3 CRDs. */
import { checkRule } from "./rule.ts";
import type { FieldError } from "../resources/base.ts";
import type { Rule } from "../resources/rule.ts";
import type { GlobalNetworkPolicy, Resource, Tier } from "../resources/schemas.ts";

type RuleLists = { readonly ingress?: readonly Rule[] | undefined; readonly egress?: readonly Rule[] | undefined };
type GlobalSpec = Omit<GlobalNetworkPolicy["spec"], "types"> & { readonly types?: GlobalNetworkPolicy["spec"]["types"] | undefined };

export function checkRules(object: { readonly spec: RuleLists }, global: boolean): FieldError[] {
  return (["ingress", "egress"] as const).flatMap((direction) =>
    (object.spec[direction] ?? []).flatMap((rule, i) => checkRule(rule, { field: `spec.${direction}[${i}]`, direction, global })),
  );
}

export function checkGlobalPolicy(policy: { readonly spec: GlobalSpec }): FieldError[] {
  const { doNotTrack, preDNAT, applyOnForward, egress, types } = policy.spec;
  const errors = checkRules(policy, true);
  if (doNotTrack && preDNAT) errors.push({ field: "spec.preDNAT", value: true, reason: "preDNAT and doNotTrack cannot both be true" });
  for (const name of ["doNotTrack", "preDNAT"] as const) {
    if (policy.spec[name] && !applyOnForward)
      errors.push({ field: "spec.applyOnForward", value: applyOnForward, reason: `must be true with ${name}` });
  }
  if (preDNAT && ((egress?.length ?? 0) > 0 || types?.includes("Egress") === true))
    errors.push({ field: "spec.egress", value: egress, reason: "a preDNAT policy cannot have egress rules or type Egress" });
  return errors;
}

const FIXED_TIERS: Readonly<Record<string, { readonly order: number; readonly defaultAction: "Deny" | "Pass" }>> = {
  default: { order: 1_000_000, defaultAction: "Deny" },
  "kube-admin": { order: 1_000, defaultAction: "Pass" },
  "kube-baseline": { order: 10_000_000, defaultAction: "Pass" },
};

export function checkTier(tier: Tier): FieldError[] {
  const fixed = Object.hasOwn(FIXED_TIERS, tier.metadata.name) ? FIXED_TIERS[tier.metadata.name] : undefined;
  if (fixed === undefined) return [];
  return (["order", "defaultAction"] as const).flatMap((name) =>
    tier.spec[name] === fixed[name]
      ? []
      : [{ field: `spec.${name}`, value: tier.spec[name], reason: `${name} of tier ${tier.metadata.name} must be ${fixed[name]}` }],
  );
}

/** Fields that a policy staged for deletion must not have. Source: facts §1.6.9. */
const EMPTY_ON_DELETE = [
  ...["order", "ingress", "egress", "selector", "types", "serviceAccountSelector", "performanceHints"],
  ...["namespaceSelector", "doNotTrack", "preDNAT", "applyOnForward"],
] as const;

function checkDeletion(spec: { readonly stagedAction: string }): FieldError[] {
  if (spec.stagedAction !== "Delete") return [];
  const fields = spec as Readonly<Record<string, unknown>>;
  return EMPTY_ON_DELETE.flatMap((name) =>
    isZero(fields[name]) ? [] : [{ field: `spec.${name}`, value: fields[name], reason: "must be empty with stagedAction Delete" }],
  );
}

function isZero(value: unknown): boolean {
  return value === undefined || value === "" || value === false || (Array.isArray(value) && value.length === 0);
}

export function checkStagedPolicy(policy: Resource<"StagedNetworkPolicy">): FieldError[] {
  return [...checkDeletion(policy.spec), ...checkRules(policy, false)];
}

export function checkStagedGlobalPolicy(policy: Resource<"StagedGlobalNetworkPolicy">): FieldError[] {
  return [...checkDeletion(policy.spec), ...checkGlobalPolicy(policy)];
}
