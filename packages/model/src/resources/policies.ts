/** Policies, staged ones too, tiers and profiles. Source: calico api/pkg/apis/projectcalico/v3 (networkpolicy.go, globalnetworkpolicy.go, staged*.go, tier.go, profile.go). */
import { z } from "zod";
import { object, once, resource, resourceWithStatus } from "./base.ts";
import { labelSelector } from "./kubernetes.ts";
import { rulesSchema } from "./rule.ts";
import { selectorText } from "./values.ts";

export type PolicyType = "Ingress" | "Egress";

export const TIER_LABEL = "projectcalico.org/tier";
export const DEFAULT_TIER = "default";
export const DEFAULT_TIER_ORDER = 1_000_000;

const policyTypes = once(() => z.array(z.enum(["Ingress", "Egress"])).max(2));

const policyShape = once(() => ({
  tier: z
    .string()
    .default(DEFAULT_TIER)
    .transform((tier) => tier || DEFAULT_TIER),
  /** Absent is last. */
  order: z.number().optional(),
  ingress: rulesSchema().optional(),
  egress: rulesSchema().optional(),
  selector: selectorText().optional(),
  types: policyTypes()
    .refine((types) => new Set(types).size === types.length, { error: "must not have duplicates" })
    .optional(),
  serviceAccountSelector: selectorText({ max: 1024 }).optional(),
  performanceHints: z.array(z.enum(["AssumeNeededOnEveryNode"])).optional(),
}));

const globalPolicyShape = once(() => ({
  ...policyShape(),
  doNotTrack: z.boolean().optional(),
  preDNAT: z.boolean().optional(),
  applyOnForward: z.boolean().optional(),
  namespaceSelector: selectorText({ max: 1024 }).optional(),
}));

type Typed = { ingress?: unknown[] | undefined; egress?: unknown[] | undefined; types?: PolicyType[] | undefined };

/** Fills `types` from the rules that are there: egress only if there are egress rules. */
function withTypes<S extends Typed>(spec: S): S & { types: PolicyType[] } {
  if (spec.types !== undefined && spec.types.length > 0) return { ...spec, types: spec.types };
  const hasIngress = (spec.ingress?.length ?? 0) > 0;
  const hasEgress = (spec.egress?.length ?? 0) > 0;
  return { ...spec, types: hasEgress ? (hasIngress ? ["Ingress", "Egress"] : ["Egress"]) : ["Ingress"] };
}

/** As withTypes; a policy that is staged for deletion says nothing but its tier. */
function withStagedTypes<S extends Typed & { stagedAction: string }>(spec: S): S {
  return spec.stagedAction === "Delete" ? spec : withTypes(spec);
}

const stagedAction = once(() => ({ stagedAction: z.enum(["Set", "Delete", "Learn", "Ignore"]).default("Set") }));

export const networkPolicySchema = once(() => resource("NetworkPolicy", object(policyShape()).prefault({}).transform(withTypes)));
export const globalNetworkPolicySchema = once(() =>
  resource("GlobalNetworkPolicy", object(globalPolicyShape()).prefault({}).transform(withTypes)),
);
export const stagedNetworkPolicySchema = once(() =>
  resource(
    "StagedNetworkPolicy",
    object({ ...policyShape(), ...stagedAction() })
      .prefault({})
      .transform(withStagedTypes),
  ),
);
export const stagedGlobalNetworkPolicySchema = once(() =>
  resource(
    "StagedGlobalNetworkPolicy",
    object({ ...globalPolicyShape(), ...stagedAction() })
      .prefault({})
      .transform(withStagedTypes),
  ),
);

const kubernetesPort = once(() =>
  object({
    protocol: z.enum(["TCP", "UDP", "SCTP"]).optional(),
    port: z.union([z.number().int().min(1).max(65535), z.string()]).optional(),
    endPort: z.number().int().min(1).max(65535).optional(),
  }),
);
const kubernetesPeer = once(() =>
  object({
    podSelector: labelSelector().optional(),
    namespaceSelector: labelSelector().optional(),
    ipBlock: object({ cidr: z.string(), except: z.array(z.string()).optional() }).optional(),
  }),
);

/** Fields as in Kubernetes' own NetworkPolicy. Source: Kubernetes API networking/v1. */
export const stagedKubernetesNetworkPolicySchema = once(() => {
  const ports = { ports: z.array(kubernetesPort()).optional() };
  const peers = z.array(kubernetesPeer()).optional();
  return resource(
    "StagedKubernetesNetworkPolicy",
    object({
      ...stagedAction(),
      podSelector: labelSelector().optional(),
      ingress: z.array(object({ ...ports, from: peers })).optional(),
      egress: z.array(object({ ...ports, to: peers })).optional(),
      policyTypes: policyTypes().optional(),
    }).prefault({}),
  );
});

export const tierSchema = once(() =>
  resourceWithStatus(
    "Tier",
    object({ order: z.number().default(DEFAULT_TIER_ORDER), defaultAction: z.enum(["Deny", "Pass"]).default("Deny") }).prefault({}),
    object({ conditions: z.array(z.unknown()).optional() }),
  ),
);

export const profileSchema = once(() =>
  resource(
    "Profile",
    object({
      ingress: rulesSchema().optional(),
      egress: rulesSchema().optional(),
      labelsToApply: z.record(z.string(), z.string()).optional(),
    }).prefault({}),
  ),
);
