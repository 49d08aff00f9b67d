/**
 * A policy's or a profile's rules as iptables rules.
 *
 * A rule that fits into one iptables rule becomes one (and its verdict's). One that needs an OR, as with two networks or more
 * ports than a match takes, is split into blocks, each an OR, joined by mark bits: scratch0 says "every block so far matched",
 * scratch1 "this block matched".
 *
 * Source: Calico felix/rules/policy.go (ProtoRulesToIptablesRules).
 */
import type { Marks } from "../marks.ts";
import { clearMark, markClear, markSet, setMark, setMasked } from "../marks.ts";
import type { Family } from "../names.ts";
import type { Rule } from "../program.ts";
import type { PolicyRule, RuleSide } from "../rule.ts";
import * as m from "./matches.ts";
import type { Direction } from "./matches.ts";

export type PolicyRenderOptions = { readonly family: Family; readonly marks: Marks };

/** The rules in order. The RETURN that ends a chain is left out: a chain returns at its end. */
export function renderPolicyRules(rules: readonly PolicyRule[], options: PolicyRenderOptions): readonly Rule[] {
  const out = rules.flatMap((rule) => renderPolicyRule(rule, options));
  while (out.at(-1)?.action === "--jump RETURN") out.pop();
  return out;
}

/** One policy rule; no rules at all when it cannot match packets of this family. */
export function renderPolicyRule(rule: PolicyRule, { family, marks }: PolicyRenderOptions): readonly Rule[] {
  const forFamily = restrictToFamily(rule, family);
  if (forFamily === undefined) return [];
  const blocks = makeBlocks(marks);
  const matches = [
    ...protocolMatches(forFamily, family, blocks),
    ...sideMatches(forFamily, "source", family, blocks),
    ...sideMatches(forFamily, "destination", family, blocks),
  ];
  const conditions = [...(blocks.rules.length > 0 ? [markSet(marks.scratch0)] : []), ...matches].filter((s) => s !== "").join(" ");
  return [...blocks.rules, ...verdict(forFamily, conditions, marks)].map((r) => ({ ...r, comments: forFamily.comments }));
}

function verdict({ action }: PolicyRule, match: string, marks: Marks): readonly Rule[] {
  switch (action) {
    case "log":
      return [{ match, action: '--jump LOG --log-prefix "calico-packet: " --log-level 5' }];
    case "deny":
      return markThen(match, marks.drop, "--jump DROP");
    case "allow":
      return markThen(match, marks.accept, "--jump RETURN");
    case "pass":
      return markThen(match, marks.pass, "--jump RETURN");
  }
}

function markThen(match: string, bit: number, action: string): readonly Rule[] {
  return [
    { match, action: setMark(bit) },
    { match: markSet(bit), action },
  ];
}

/** The rule with the networks of one family, or undefined if no packet of that family can match. */
function restrictToFamily(rule: PolicyRule, family: Family): PolicyRule | undefined {
  if (rule.ipVersion !== undefined && rule.ipVersion !== family) return undefined;
  const otherIcmp = family === 4 ? isIcmp6 : isIcmp4;
  if (rule.protocol !== undefined && otherIcmp(rule.protocol)) return undefined;
  const source = restrictSide(rule.source, family);
  const destination = restrictSide(rule.destination, family);
  return source === undefined || destination === undefined ? undefined : { ...rule, source, destination };
}

const isIcmp4 = (p: string | number): boolean => p === "icmp" || p === 1;
const isIcmp6 = (p: string | number): boolean => p === "icmpv6" || p === 58;

function restrictSide(side: RuleSide, family: Family): RuleSide | undefined {
  const ofFamily = (net: string) => net.includes(":") === (family === 6);
  const nets = side.nets.filter(ofFamily);
  const notNets = side.notNets.filter(ofFamily);
  if (side.nets.length > 0 && nets.length === 0) return undefined;
  if (notNets.some((net) => net.endsWith("/0"))) return undefined;
  return { ...side, nets, notNets };
}

/** iptables takes one `-p` per rule, so a protocol with an exception is a block. */
function protocolMatches(rule: PolicyRule, family: Family, blocks: Blocks): readonly string[] {
  const both = rule.protocol !== undefined && rule.notProtocol !== undefined;
  if (both) blocks.noneOf([m.protocolMatch(rule.notProtocol)]);
  return [
    ...(rule.protocol === undefined ? [] : [m.protocolMatch(rule.protocol)]),
    ...(rule.notProtocol === undefined || both ? [] : [m.notProtocolMatch(rule.notProtocol)]),
    ...(rule.icmp === undefined ? [] : [m.icmpMatch(family, rule.icmp)]),
    ...(rule.notIcmp === undefined ? [] : [m.icmpMatch(family, rule.notIcmp, true)]),
  ];
}

/** The matches of one side that fit into the last rule; what does not becomes a block. One rule takes one address match per side. */
function sideMatches(rule: PolicyRule, direction: Direction, family: Family, blocks: Blocks): readonly string[] {
  const side = rule[direction];
  const protocol = rule.protocol === undefined ? "" : m.protocolMatch(rule.protocol);
  const inline: string[] = [];
  if (side.nets.length > 1) blocks.anyOf(side.nets.map((net) => m.netMatch(direction, net)));
  else inline.push(...side.nets.map((net) => m.netMatch(direction, net)));
  if (side.notNets.length > 1 || (side.notNets.length === 1 && side.nets.length === 1))
    blocks.noneOf(side.notNets.map((net) => m.netMatch(direction, net)));
  else inline.push(...side.notNets.map((net) => m.notNetMatch(direction, net)));
  inline.push(...side.sets.map((id) => m.setMatch(family, id, direction)));
  inline.push(...side.notSets.map((id) => m.notSetMatch(family, id, direction)));
  const ports = [
    ...m.splitPorts(side.ports).map((group) => m.portsMatch(direction, group)),
    ...side.namedPortSets.map((id) => m.portSetMatch(family, id, direction)),
  ];
  if (ports.length > 1) blocks.anyOf(ports.map((match) => `${protocol} ${match}`.trim()));
  else inline.push(...ports);
  inline.push(...m.splitPorts(side.notPorts).map((group) => m.notPortsMatch(direction, group)));
  inline.push(...side.notNamedPortSets.map((id) => m.notPortSetMatch(family, id, direction)));
  return inline;
}

type Blocks = { readonly rules: Rule[]; anyOf(matches: readonly string[]): void; noneOf(matches: readonly string[]): void };

/** Collects blocks. After their rules have run, scratch0 is set exactly if every block matched. */
function makeBlocks({ scratch0, scratch1 }: Marks): Blocks {
  const rules: Rule[] = [];
  const both = scratch0 | scratch1;
  return {
    rules,
    anyOf(matches) {
      const first = rules.length === 0;
      const bit = first ? scratch0 : scratch1;
      rules.push({ action: first ? clearMark(both) : clearMark(scratch1) });
      rules.push(...matches.map((match) => ({ match, action: setMark(bit) })));
      if (!first) rules.push({ match: markClear(scratch1), action: clearMark(scratch0) });
    },
    noneOf(matches) {
      if (rules.length === 0) rules.push({ action: setMasked(scratch0, both) });
      rules.push(...matches.map((match) => ({ match, action: clearMark(scratch0) })));
    },
  };
}
