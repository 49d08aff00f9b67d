/**
 * A rule with its selectors resolved, as a rule to render, with the IP sets that it needs.
 *
 * Source: Calico felix/calc/rule_scanner.go (ruleToParsedRule).
 */
import { makeUniqueId, selectorOf } from "@calico/model";
import type { ActiveEntity, ActiveRule, PortMatch, Selector } from "@calico/model";
import type { SetType } from "../program.ts";
import type { Action, PolicyRule, PortRange, Protocol, RuleSide } from "../rule.ts";

/**
 * An IP set as the question that it answers: addresses of what a selector matches; or addresses with the number of a port of that
 * name; or the endpoints of a service.
 */
export type SetDefinition = { readonly id: string; readonly type: SetType } & (
  | { readonly of: "selector"; readonly selector: Selector; readonly port?: { readonly protocol: string; readonly name: string } }
  | { readonly of: "service"; readonly namespace: string; readonly name: string; readonly withPorts: boolean }
);

export type ConvertedRules = { readonly rules: readonly PolicyRule[]; readonly sets: ReadonlyMap<string, SetDefinition> };

const ALL = selectorOf({ op: "all" });
const ACTIONS: Readonly<Record<ActiveRule["action"], Action>> = { allow: "allow", deny: "deny", "next-tier": "pass", log: "log" };

/** The rules of one direction. */
export function convertRules(rules: readonly ActiveRule[]): ConvertedRules {
  const sets = new Map<string, SetDefinition>();
  return { rules: rules.map((rule) => convertRule(rule, sets)), sets };
}

function convertRule(rule: ActiveRule, sets: Map<string, SetDefinition>): PolicyRule {
  return {
    action: ACTIONS[rule.action],
    ipVersion: rule.ipVersion,
    protocol: rule.protocol,
    notProtocol: rule.notProtocol,
    icmp: rule.icmp,
    notIcmp: rule.notIcmp,
    source: convertSide(rule.source, { protocol: rule.protocol, serviceWithPorts: false, sets }),
    destination: convertSide(rule.destination, { protocol: rule.protocol, serviceWithPorts: true, sets }),
    comments: Object.entries(rule.annotations ?? {})
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => `${key}=${value}`),
  };
}

type SideContext = {
  readonly protocol: Protocol | undefined;
  /** Where traffic goes, a service means its endpoints' addresses and ports; where it comes from, their addresses. */
  readonly serviceWithPorts: boolean;
  readonly sets: Map<string, SetDefinition>;
};

function convertSide(entity: ActiveEntity, { protocol, serviceWithPorts, sets }: SideContext): RuleSide {
  const define = (definition: SetDefinition): string => {
    sets.set(definition.id, definition);
    return definition.id;
  };
  const { selector, notSelector, service } = entity;
  const ports = splitPorts(entity.ports);
  const notPorts = splitPorts(entity.notPorts);
  const portSet = (name: string): string => define(namedPortSet(selector ?? ALL, portProtocol(protocol), name));
  // Named ports alone: their sets hold only what the selector matches, so asking the selector's set too would be the same question twice.
  const selectorIsInPortSets = ports.names.length > 0 && ports.ranges.length === 0;
  const serviceSet = service === undefined ? [] : [define(serviceSetOf(service, serviceWithPorts))];
  return {
    nets: entity.nets,
    notNets: entity.notNets,
    sets: [
      ...(selector === undefined || selectorIsInPortSets ? [] : [define(selectorSet(selector))]),
      ...(serviceWithPorts ? [] : serviceSet),
    ],
    notSets: notSelector === undefined ? [] : [define(selectorSet(notSelector))],
    ports: ports.ranges,
    notPorts: notPorts.ranges,
    namedPortSets: [...ports.names.map(portSet), ...(serviceWithPorts ? serviceSet : [])],
    notNamedPortSets: notPorts.names.map(portSet),
  };
}

function selectorSet(selector: Selector): SetDefinition {
  return { id: selector.uniqueId, type: "hash:net", of: "selector", selector };
}

function namedPortSet(selector: Selector, protocol: string, name: string): SetDefinition {
  const id = makeUniqueId("n", `${selector.uniqueId},${protocol},${name}`);
  return { id, type: "hash:ip,port", of: "selector", selector, port: { protocol, name } };
}

function serviceSetOf({ namespace, name }: NonNullable<ActiveEntity["service"]>, withPorts: boolean): SetDefinition {
  const id = makeUniqueId(withPorts ? "svc" : "svcnoport", `${namespace}/${name}`);
  return { id, type: withPorts ? "hash:ip,port" : "hash:net", of: "service", namespace, name, withPorts };
}

/** A named port without a protocol means TCP. */
function portProtocol(protocol: Protocol | undefined): string {
  if (protocol === "udp" || protocol === 17) return "udp";
  if (protocol === "sctp" || protocol === 132) return "sctp";
  return "tcp";
}

function splitPorts(ports: readonly PortMatch[]): { readonly ranges: readonly PortRange[]; readonly names: readonly string[] } {
  return {
    ranges: ports.flatMap((port) => ("min" in port ? [port] : [])),
    names: ports.flatMap((port) => ("name" in port ? [port.name] : [])),
  };
}
