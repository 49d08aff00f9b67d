/**
 * Policies and profiles that at least one workload of this node needs, as chains; and which policies each workload has.
 *
 * Source: Calico felix/calc (active_rules_calculator.go, policy_resolver.go).
 */
import type { ActivePolicy, ActiveProfile, ActiveRule } from "@calico/model";
import type { Marks } from "../marks.ts";
import { policySuffix } from "../names.ts";
import type { EndpointTier } from "../render/endpoint-chains.ts";
import { policyChainName, profileChainName, renderPolicyChain, renderProfileChain } from "../render/policy-chains.ts";
import type { TrafficDirection } from "../render/policy-chains.ts";
import type { PolicyRule } from "../rule.ts";
import type { ChainOutput } from "./chain-output.ts";
import { convertRules } from "./convert-rule.ts";
import type { Endpoint } from "./endpoint.ts";
import { LabelIndex } from "./label-index.ts";
import type { Labels } from "./label-index.ts";
import { orderPolicies, policyId } from "./policy-order.ts";
import type { TierInfo } from "./policy-order.ts";
import type { RuleSets } from "./rule-sets.ts";

const DIRECTIONS: readonly { readonly direction: TrafficDirection; readonly type: "Ingress" | "Egress" }[] = [
  { direction: "ingress", type: "Ingress" },
  { direction: "egress", type: "Egress" },
];

/** What a policy or profile has out in the kernel now. */
type Rendered = { readonly chains: readonly string[]; readonly sets: readonly string[] };

export class ActivePolicies {
  readonly #chains: ChainOutput;
  readonly #sets: RuleSets;
  readonly #marks: Marks;
  readonly #policies = new Map<string, ActivePolicy>();
  readonly #profiles = new Map<string, ActiveProfile>();
  readonly #tiers = new Map<string, TierInfo>();
  readonly #users = new Map<string, Set<string>>();
  readonly #rendered = new Map<string, Rendered>();
  readonly #dirtyPolicies = new Set<string>();
  readonly #dirtyProfiles = new Set<string>();
  readonly #dirtyEndpoints = new Set<string>();
  readonly index: LabelIndex;

  constructor(o: { readonly chains: ChainOutput; readonly sets: RuleSets; readonly marks: Marks }) {
    this.#chains = o.chains;
    this.#sets = o.sets;
    this.#marks = o.marks;
    const changed = (policy: string, endpoint: string) => {
      this.#dirtyPolicies.add(policy);
      this.#dirtyEndpoints.add(endpoint);
    };
    this.index = new LabelIndex({ matchStarted: changed, matchStopped: changed });
  }

  get policyCount(): number {
    return this.#policies.size;
  }

  get profileCount(): number {
    return this.#profiles.size;
  }

  get tierCount(): number {
    return this.#tiers.size;
  }

  /** Untracked and pre-DNAT policies are for host endpoints: workloads do not see them. */
  setPolicy(key: string, policy: ActivePolicy | undefined): void {
    const wanted = policy === undefined || policy.doNotTrack || policy.preDNAT ? undefined : policy;
    // Endpoints know a policy by its place, not by its rules: whom it applies to is the index's to say.
    if (wanted !== undefined && !samePlace(wanted, this.#policies.get(key)))
      for (const endpoint of this.index.itemsOf(key)) this.#dirtyEndpoints.add(endpoint);
    this.#dirtyPolicies.add(key);
    if (wanted === undefined) {
      this.#policies.delete(key);
      this.index.deleteSelector(key);
    } else {
      this.#policies.set(key, wanted);
      this.index.setSelector(key, wanted.selector);
    }
  }

  setProfile(name: string, profile: ActiveProfile | undefined): void {
    if (profile === undefined) this.#profiles.delete(name);
    else this.#profiles.set(name, profile);
    this.#dirtyProfiles.add(name);
    this.index.setParentLabels(name, profile?.labelsToApply ?? {});
  }

  setTier(name: string, info: TierInfo | undefined): void {
    if (info === undefined) this.#tiers.delete(name);
    else this.#tiers.set(name, info);
    for (const [key, policy] of this.#policies) {
      if (policy.tier === name) for (const endpoint of this.index.itemsOf(key)) this.#dirtyEndpoints.add(endpoint);
    }
  }

  setEndpoint(endpoint: Endpoint, before: Endpoint | undefined): void {
    this.#dirtyEndpoints.add(endpoint.key);
    this.#moveProfiles(endpoint.key, before?.profiles ?? [], endpoint.profiles);
    this.index.setItem(endpoint.key, endpoint.labels as Labels, endpoint.profiles);
  }

  deleteEndpoint(endpoint: Endpoint): void {
    this.#moveProfiles(endpoint.key, endpoint.profiles, []);
    this.index.deleteItem(endpoint.key);
    this.#dirtyEndpoints.add(endpoint.key);
  }

  /** The policies of one endpoint, in the order in which its packets meet them. */
  tiersOf(endpoint: string): readonly EndpointTier[] {
    return orderPolicies(
      [...this.index.matchesOf(endpoint)].map((key) => this.#policies.get(key)!),
      this.#tiers,
    );
  }

  /** Endpoints whose list of policies may have changed since the last call. */
  takeDirtyEndpoints(): readonly string[] {
    const taken = [...this.#dirtyEndpoints];
    this.#dirtyEndpoints.clear();
    return taken;
  }

  /** Renders what changed. New sets are asked for before old ones are let go, so that a shared one stays. */
  flush(): void {
    const released: { readonly owner: string; readonly sets: readonly string[] }[] = [];
    for (const key of this.#dirtyPolicies) released.push(this.#renderPolicy(key));
    for (const name of this.#dirtyProfiles) released.push(this.#renderProfile(name));
    for (const { owner, sets } of released) this.#sets.release(owner, sets);
    this.#dirtyPolicies.clear();
    this.#dirtyProfiles.clear();
  }

  #renderPolicy(key: string): { readonly owner: string; readonly sets: readonly string[] } {
    const policy = this.#policies.get(key);
    const active = policy !== undefined && this.index.itemsOf(key).size > 0;
    return this.#replace(`policy ${key}`, (draw) => {
      if (!active) return;
      const id = policyId(policy);
      for (const { direction, type } of DIRECTIONS) {
        if (!policy.types.includes(type)) continue;
        draw(policyChainName(id, direction), policy[direction], (family, rules) =>
          renderPolicyChain(id, direction, { family, marks: this.#marks, rules: rules! }),
        );
      }
    });
  }

  #renderProfile(name: string): { readonly owner: string; readonly sets: readonly string[] } {
    const profile = this.#profiles.get(name);
    return this.#replace(`profile ${name}`, (draw) => {
      if (!this.#users.has(name)) return;
      for (const { direction } of DIRECTIONS) {
        draw(profileChainName(name, direction), profile?.[direction], (family, rules) =>
          renderProfileChain(name, direction, { family, marks: this.#marks, rules }),
        );
      }
    });
  }

  /** Draws an owner's chains anew; gives back the sets it no longer uses, to be let go when all drawing is done. */
  #replace(owner: string, drawAll: (draw: Draw) => void): { readonly owner: string; readonly sets: readonly string[] } {
    const before = this.#rendered.get(owner) ?? { chains: [], sets: [] };
    const chains: string[] = [];
    const sets = new Set<string>();
    drawAll((name, active, render) => {
      const converted = active === undefined ? undefined : convertRules(active);
      this.#sets.retain(owner, converted?.sets.values() ?? []);
      for (const id of converted?.sets.keys() ?? []) sets.add(id);
      this.#chains.setFilter(name, (family) => render(family, converted?.rules));
      chains.push(name);
    });
    for (const name of before.chains) if (!chains.includes(name)) this.#chains.setFilter(name, undefined);
    if (chains.length === 0) this.#rendered.delete(owner);
    else this.#rendered.set(owner, { chains, sets: [...sets] });
    return { owner, sets: before.sets.filter((id) => !sets.has(id)) };
  }

  get activePolicyCount(): number {
    return [...this.#rendered.keys()].filter((owner) => owner.startsWith("policy ")).length;
  }

  #moveProfiles(endpoint: string, from: readonly string[], to: readonly string[]): void {
    for (const name of from) {
      const users = this.#users.get(name);
      users?.delete(endpoint);
      if (users?.size === 0) this.#users.delete(name);
      this.#dirtyProfiles.add(name);
    }
    for (const name of to) {
      const users = this.#users.get(name) ?? new Set();
      this.#users.set(name, users.add(endpoint));
      this.#dirtyProfiles.add(name);
    }
  }
}

type Draw = (
  name: string,
  rules: readonly ActiveRule[] | undefined,
  render: (family: 4 | 6, rules: readonly PolicyRule[] | undefined) => ReturnType<typeof renderPolicyChain>,
) => void;

function samePlace(a: ActivePolicy, b: ActivePolicy | undefined): boolean {
  return b !== undefined && a.tier === b.tier && a.order === b.order && a.types.join() === b.types.join();
}

/** What a policy is called among felix's own records. */
export function policyKey(policy: ActivePolicy): string {
  return policySuffix(policyId(policy));
}
