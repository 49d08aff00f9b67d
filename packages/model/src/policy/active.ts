/**
 * A policy or profile in the form that rules are made from: every selector resolved to what it means on endpoints' labels,
 * ports and networks parsed. The same form serves felix, and the tools that explain a verdict.
 *
 * Source: calico libcalico-go/lib/backend/syncersv1/updateprocessors (networkpolicyprocessor.go, globalnetworkpolicyprocessor.go, rules.go).
 */
import { formatCidr, parseCidrLoose } from "../ip.ts";
import { parsePort } from "../resources/protoport.ts";
import { policySelector, ruleSelector } from "./rule-selectors.ts";
import type { PolicyType } from "../resources/policies.ts";
import type { PortMatch } from "../resources/protoport.ts";
import type { EntityRule, Rule } from "../resources/rule.ts";
import type { GlobalNetworkPolicy, NetworkPolicy, Profile } from "../resources/schemas.ts";
import type { Selector } from "../selector/selector.ts";

export type ActiveEntity = {
  /** Canonical CIDRs. Empty is: any. */
  readonly nets: readonly string[];
  readonly notNets: readonly string[];
  readonly selector?: Selector;
  readonly notSelector?: Selector;
  readonly ports: readonly PortMatch[];
  readonly notPorts: readonly PortMatch[];
  readonly service?: { readonly namespace: string; readonly name: string };
};

export type ActiveRule = {
  readonly action: "allow" | "deny" | "next-tier" | "log";
  readonly ipVersion?: 4 | 6;
  readonly protocol?: string | number;
  readonly notProtocol?: string | number;
  readonly icmp?: Rule["icmp"];
  readonly notIcmp?: Rule["notICMP"];
  readonly source: ActiveEntity;
  readonly destination: ActiveEntity;
  readonly annotations?: Readonly<Record<string, string>>;
};

export type ActivePolicy = {
  readonly kind: "NetworkPolicy" | "GlobalNetworkPolicy";
  readonly namespace?: string;
  readonly name: string;
  readonly tier: string;
  /** Absent is last. */
  readonly order?: number;
  /** Which endpoints it applies to; the namespace is part of it. */
  readonly selector: Selector;
  readonly types: readonly PolicyType[];
  readonly ingress: readonly ActiveRule[];
  readonly egress: readonly ActiveRule[];
  readonly doNotTrack: boolean;
  readonly preDNAT: boolean;
  readonly applyOnForward: boolean;
  readonly performanceHints: readonly string[];
};

export type ActiveProfile = {
  readonly name: string;
  readonly ingress: readonly ActiveRule[];
  readonly egress: readonly ActiveRule[];
  readonly labelsToApply: Readonly<Record<string, string>>;
};

/** Takes a policy that parseResource accepted; throws on one that it would refuse. */
export function activePolicy(policy: NetworkPolicy | GlobalNetworkPolicy): ActivePolicy {
  const { metadata, spec } = policy;
  const global = policy.kind === "GlobalNetworkPolicy" ? policy.spec : undefined;
  const namespace = policy.kind === "NetworkPolicy" ? (metadata.namespace ?? "") : undefined;
  return {
    kind: policy.kind,
    ...(namespace === undefined ? {} : { namespace }),
    name: metadata.name,
    tier: spec.tier,
    ...(spec.order === undefined ? {} : { order: spec.order }),
    selector: policySelector({
      selector: spec.selector,
      namespace,
      namespaceSelector: global?.namespaceSelector,
      serviceAccountSelector: spec.serviceAccountSelector,
    }),
    types: spec.types,
    ingress: activeRules(spec.ingress, namespace),
    egress: activeRules(spec.egress, namespace),
    doNotTrack: global?.doNotTrack ?? false,
    preDNAT: global?.preDNAT ?? false,
    applyOnForward: global?.applyOnForward ?? false,
    performanceHints: spec.performanceHints ?? [],
  };
}

export function activeProfile(profile: Profile): ActiveProfile {
  return {
    name: profile.metadata.name,
    ingress: activeRules(profile.spec.ingress, undefined),
    egress: activeRules(profile.spec.egress, undefined),
    labelsToApply: profile.spec.labelsToApply ?? {},
  };
}

function activeRules(rules: readonly Rule[] | undefined, namespace: string | undefined): ActiveRule[] {
  return (rules ?? []).map((rule) => activeRule(rule, namespace));
}

const ACTIONS = { Allow: "allow", Deny: "deny", Pass: "next-tier", Log: "log" } as const;

/** One rule of a policy in `namespace`, or of a global one. Protocol names come out in lower case. */
export function activeRule(rule: Rule, namespace: string | undefined): ActiveRule {
  return {
    action: ACTIONS[rule.action],
    ...present("ipVersion", rule.ipVersion),
    ...present("protocol", lower(rule.protocol)),
    ...present("notProtocol", lower(rule.notProtocol)),
    ...present("icmp", rule.icmp),
    ...present("notIcmp", rule.notICMP),
    source: activeEntity(rule.source ?? {}, namespace),
    destination: activeEntity(rule.destination ?? {}, namespace),
    ...present("annotations", rule.metadata?.annotations),
  };
}

function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}

function lower(protocol: string | number | undefined): string | number | undefined {
  return typeof protocol === "string" ? protocol.toLowerCase() : protocol;
}

function activeEntity(entity: EntityRule, namespace: string | undefined): ActiveEntity {
  const { selector, notSelector } = ruleSelector(entity, namespace);
  const service = entity.services?.name
    ? { name: entity.services.name, namespace: entity.services.namespace || (namespace ?? "") }
    : undefined;
  return {
    nets: (entity.nets ?? []).map(canonicalNet),
    notNets: (entity.notNets ?? []).map(canonicalNet),
    ...present("selector", selector),
    ...present("notSelector", notSelector),
    ports: (entity.ports ?? []).map(portOf),
    notPorts: (entity.notPorts ?? []).map(portOf),
    ...present("service", service),
  };
}

function canonicalNet(text: string): string {
  const parsed = parseCidrLoose(text);
  if (!parsed.ok) throw new TypeError(parsed.error);
  return formatCidr(parsed.value);
}

function portOf(value: string | number): PortMatch {
  const parsed = parsePort(value);
  if (!parsed.ok) throw new TypeError(`Cannot parse port ${JSON.stringify(value)}: ${parsed.error}`);
  return parsed.value;
}
