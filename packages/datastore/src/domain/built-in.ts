/** Objects that are there without anybody writing them. Source: facts §1.1.4, §1.1.5, §1.6.5. */
import { API_VERSION } from "@calico/model";

export const DEFAULT_TIERS = [
  { name: "default", order: 1_000_000, defaultAction: "Deny" },
  { name: "kube-admin", order: 1000, defaultAction: "Pass" },
  { name: "kube-baseline", order: 10_000_000, defaultAction: "Pass" },
] as const;

export function defaultTier(
  name: string,
): { kind: "Tier"; metadata: { name: string }; spec: { order: number; defaultAction: "Deny" | "Pass" } } | undefined {
  const found = DEFAULT_TIERS.find((tier) => tier.name === name);
  if (found === undefined) return undefined;
  return { kind: "Tier", metadata: { name }, spec: { order: found.order, defaultAction: found.defaultAction } };
}

/** Always readable, never in the store. */
export const DEFAULT_ALLOW_PROFILE = {
  kind: "Profile",
  apiVersion: API_VERSION,
  metadata: { name: "projectcalico-default-allow", resourceVersion: "1" },
  spec: { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] },
} as const;
