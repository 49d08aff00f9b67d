/** Policies, tiers and profiles. Source: calico api/pkg/apis/projectcalico/v3 (networkpolicy.go, globalnetworkpolicy.go, tier.go, profile.go). */
import { z } from "zod";
import { object, resource, resourceWithStatus } from "./base.ts";
import { rulesSchema } from "./rule.ts";
import { selectorText } from "./values.ts";

export type PolicyType = "Ingress" | "Egress";

export const TIER_LABEL = "projectcalico.org/tier";
export const DEFAULT_TIER = "default";
export const DEFAULT_TIER_ORDER = 1_000_000;

const policyShape = {
  tier: z
    .string()
    .default(DEFAULT_TIER)
    .transform((tier) => tier || DEFAULT_TIER),
  /** Absent is last. */
  order: z.number().optional(),
  ingress: rulesSchema.optional(),
  egress: rulesSchema.optional(),
  selector: selectorText().optional(),
  types: z
    .array(z.enum(["Ingress", "Egress"]))
    .max(2)
    .optional(),
  serviceAccountSelector: selectorText({ max: 1024 }).optional(),
  performanceHints: z.array(z.string()).optional(),
};

const globalPolicyShape = {
  ...policyShape,
  doNotTrack: z.boolean().optional(),
  preDNAT: z.boolean().optional(),
  applyOnForward: z.boolean().optional(),
  namespaceSelector: selectorText({ max: 1024 }).optional(),
};

/** Fills `types` from the rules that are there: egress only if there are egress rules. */
function withTypes<S extends { ingress?: unknown[]; egress?: unknown[]; types?: PolicyType[] }>(spec: S): S & { types: PolicyType[] } {
  if (spec.types !== undefined && spec.types.length > 0) return { ...spec, types: spec.types };
  const hasIngress = (spec.ingress?.length ?? 0) > 0;
  const hasEgress = (spec.egress?.length ?? 0) > 0;
  return { ...spec, types: hasEgress ? (hasIngress ? ["Ingress", "Egress"] : ["Egress"]) : ["Ingress"] };
}

const stagedAction = { stagedAction: z.enum(["Set", "Delete", "Learn", "Ignore"]).default("Set") };

export const networkPolicySchema = resource("NetworkPolicy", object(policyShape).prefault({}).transform(withTypes));
export const globalNetworkPolicySchema = resource("GlobalNetworkPolicy", object(globalPolicyShape).prefault({}).transform(withTypes));
export const stagedNetworkPolicySchema = resource("StagedNetworkPolicy", object({ ...policyShape, ...stagedAction }).prefault({}));
export const stagedGlobalNetworkPolicySchema = resource(
  "StagedGlobalNetworkPolicy",
  object({ ...globalPolicyShape, ...stagedAction }).prefault({}),
);
export const stagedKubernetesNetworkPolicySchema = resource(
  "StagedKubernetesNetworkPolicy",
  object({
    ...stagedAction,
    podSelector: z.unknown().optional(),
    ingress: z.array(z.unknown()).optional(),
    egress: z.array(z.unknown()).optional(),
    policyTypes: z.array(z.string()).optional(),
  }).prefault({}),
);

export const tierSchema = resourceWithStatus(
  "Tier",
  object({ order: z.number().default(DEFAULT_TIER_ORDER), defaultAction: z.enum(["Deny", "Pass"]).default("Deny") }).prefault({}),
  object({}),
);

export const profileSchema = resource(
  "Profile",
  object({
    ingress: rulesSchema.optional(),
    egress: rulesSchema.optional(),
    labelsToApply: z.record(z.string(), z.string()).optional(),
  }).prefault({}),
);
