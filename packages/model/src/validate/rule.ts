/**
 * Checks of a rule that need more than one field.
 *
 * Source: calico libcalico-go/lib/validator/v3/validator.go (validateRule, validateEntityRule, validateHTTPMatch…).
 */
import { parseCidrLoose } from "../ip.ts";
import { parsePort, protocolHasPorts, protocolNumber } from "../resources/protoport.ts";
import type { Family } from "../ip.ts";
import type { FieldError } from "../resources/base.ts";
import type { EntityRule, Rule } from "../resources/rule.ts";

export type RuleContext = {
  /** Such as `spec.ingress[0]`. */
  readonly field: string;
  readonly direction: "ingress" | "egress";
  /** True in a policy without a namespace: its services must name one. */
  readonly global: boolean;
};

/** What is wrong with a rule whose fields are each fine. */
export function checkRule(rule: Rule, context: RuleContext): FieldError[] {
  return [
    ...checkIcmp(rule, context.field),
    ...checkPorts(rule, context.field),
    ...checkFamilies(rule, context.field),
    ...checkHttp(rule, context),
    ...(["source", "destination"] as const).flatMap((side) => checkEntity(rule[side], side, context)),
  ];
}

const ICMP_FAMILY: Readonly<Record<number, Family>> = { 1: 4, 58: 6 };

function checkIcmp(rule: Rule, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ["icmp", "notICMP"] as const) {
    const match = rule[name];
    if (match === undefined) continue;
    if (ICMP_FAMILY[numberOf(rule.protocol)] === undefined)
      errors.push({ field: `${field}.protocol`, value: rule.protocol, reason: `must be ICMP or ICMPv6 with ${name}` });
    if (match.code !== undefined && match.type === undefined)
      errors.push({ field: `${field}.${name}.code`, value: match.code, reason: "ICMP code specified without an ICMP type" });
  }
  for (const name of ["protocol", "notProtocol"] as const) {
    const family = ICMP_FAMILY[numberOf(rule[name])];
    if (family !== undefined && rule.ipVersion !== undefined && rule.ipVersion !== family) {
      errors.push({ field: `${field}.ipVersion`, value: rule.ipVersion, reason: `${name} ${rule[name]} needs ipVersion ${family}` });
    }
  }
  return errors;
}

function numberOf(protocol: string | number | undefined): number {
  return protocol === undefined ? 0 : (protocolNumber(protocol) ?? 0);
}

function checkPorts(rule: Rule, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const hasPorts = rule.protocol !== undefined && protocolHasPorts(rule.protocol);
  for (const side of ["source", "destination"] as const) {
    for (const list of ["ports", "notPorts"] as const) {
      for (const [i, value] of (rule[side]?.[list] ?? []).entries()) {
        const parsed = parsePort(value);
        const needsProtocol = parsed.ok && (!("name" in parsed.value) || rule.protocol !== undefined);
        if (needsProtocol && !hasPorts)
          errors.push({
            field: `${field}.${side}.${list}[${i}]`,
            value,
            reason: "rules that specify ports must set protocol to TCP or UDP or SCTP",
          });
      }
    }
  }
  return errors;
}

function checkFamilies(rule: Rule, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<Family>();
  for (const side of ["source", "destination"] as const) {
    for (const list of ["nets", "notNets"] as const) {
      for (const [i, value] of (rule[side]?.[list] ?? []).entries()) {
        const parsed = parseCidrLoose(value);
        if (!parsed.ok) continue;
        seen.add(parsed.value.family);
        const at = `${field}.${side}.${list}[${i}]`;
        if (list === "notNets" && parsed.value.len === 0)
          errors.push({ field: at, value, reason: "catch-all CIDR in negation creates logical contradiction" });
        if (rule.ipVersion !== undefined && rule.ipVersion !== parsed.value.family)
          errors.push({ field: at, value, reason: `rule has ipVersion ${rule.ipVersion} and a CIDR of IPv${parsed.value.family}` });
      }
    }
  }
  if (seen.size > 1) errors.push({ field, value: "", reason: "rule contains both IPv4 and IPv6 CIDRs" });
  return errors;
}

function checkHttp(rule: Rule, { field, direction }: RuleContext): FieldError[] {
  if (rule.http === undefined) return [];
  const bad = (at: string, value: unknown, reason: string): FieldError => ({ field: `${field}.http${at}`, value, reason });
  const errors: FieldError[] = [];
  if (direction === "egress") errors.push(bad("", rule.http, "not supported in egress rules"));
  if (rule.action !== "Allow") errors.push(bad("", rule.http, "only supported in Allow rules"));
  if (rule.protocol !== undefined && numberOf(rule.protocol) !== 6) errors.push(bad("", rule.http, "needs protocol TCP"));
  const methods = rule.http.methods ?? [];
  if (new Set(methods).size < methods.length) errors.push(bad(".methods", methods, "must not have duplicates"));
  for (const [i, path] of (rule.http.paths ?? []).entries()) {
    const text = path.exact ?? path.prefix;
    if ((path.exact === undefined) === (path.prefix === undefined) || text === undefined)
      errors.push(bad(`.paths[${i}]`, path, "must have exactly one of exact and prefix"));
    else if (!/^\/[^?# ]*$/.test(text)) errors.push(bad(`.paths[${i}]`, text, 'must start with "/" and have no "?", "#" or space'));
  }
  return errors;
}

function checkEntity(entity: EntityRule | undefined, side: "source" | "destination", context: RuleContext): FieldError[] {
  if (entity?.services === undefined) return [];
  const field = `${context.field}.${side}.services`;
  const bad = (reason: string): FieldError => ({ field, value: entity.services, reason });
  const errors: FieldError[] = [];
  if ((entity.services.name ?? "") === "") errors.push(bad("must specify a service name"));
  if (context.global && (entity.services.namespace ?? "") === "") errors.push(bad("must specify a namespace in a policy that has none"));
  const place = context.direction === "egress" ? "destination" : "source";
  if (side !== place) errors.push(bad(`can only be used in ${context.direction} rules on the ${place}`));
  const others = ["namespaceSelector", "selector", "notSelector", "nets", "notNets", "serviceAccounts"] as const;
  const used = others.filter((name) => isUsed(entity[name]));
  if (used.length > 0) errors.push(bad(`cannot be combined with ${used.join(", ")}`));
  if (side === "destination" && (isUsed(entity.ports) || isUsed(entity.notPorts)))
    errors.push(bad("cannot be combined with ports or notPorts"));
  return errors;
}

function isUsed(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== "";
}
