/**
 * The chains of one policy and of one profile.
 *
 * Source: Calico felix/rules/policy.go (PolicyToIptablesChains, ProfileToIptablesChains).
 */
import { POLICY, PROFILE, chainName, policySuffix } from "../names.ts";
import type { PolicyId } from "../names.ts";
import type { RenderedChain, Rule } from "../program.ts";
import type { PolicyRule } from "../rule.ts";
import { renderChain } from "./chain.ts";
import { renderPolicyRules } from "./policy-rules.ts";
import type { PolicyRenderOptions } from "./policy-rules.ts";

export type TrafficDirection = "ingress" | "egress";

export function policyChainName(id: PolicyId, direction: TrafficDirection): string {
  return chainName(POLICY[direction], policySuffix(id));
}

export function profileChainName(name: string, direction: TrafficDirection): string {
  return chainName(PROFILE[direction], name);
}

export function renderPolicyChain(
  id: PolicyId,
  direction: TrafficDirection,
  options: PolicyRenderOptions & { readonly rules: readonly PolicyRule[] },
): RenderedChain {
  const who = id.namespace === undefined ? id.name : `${id.namespace}/${id.name}`;
  return renderChain(policyChainName(id, direction), titled(`${id.kind} ${who} ${direction}`, renderPolicyRules(options.rules, options)));
}

/** `rules` undefined: the profile is missing, and a missing profile lets nothing through. */
export function renderProfileChain(
  name: string,
  direction: TrafficDirection,
  options: PolicyRenderOptions & { readonly rules: readonly PolicyRule[] | undefined },
): RenderedChain {
  const rules: readonly Rule[] = options.rules === undefined ? [{ action: "--jump DROP" }] : renderPolicyRules(options.rules, options);
  const title = options.rules === undefined ? `Profile ${name} ${direction}, missing` : `Profile ${name} ${direction}`;
  return renderChain(profileChainName(name, direction), titled(title, rules));
}

/** The first rule says whose chain it is; a chain without rules gets one that only says it. */
function titled(title: string, rules: readonly Rule[]): readonly Rule[] {
  const [first, ...rest] = rules;
  if (first === undefined) return [{ action: "", comments: [title] }];
  return [{ ...first, comments: [title, ...(first.comments ?? [])] }, ...rest];
}
