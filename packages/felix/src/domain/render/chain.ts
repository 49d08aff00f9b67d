/**
 * Rules to text, with the mark that makes each recognisable after a restart.
 *
 * A mark hashes the chain's name and every rule up to its own, so that equal marks mean an equal chain, and a change in the
 * middle changes all marks below it. Where rules come and go one by one, a mark hashes its own rule alone, so that the others stay.
 *
 * Source: Calico felix/generictables/rule_hashes.go; facts: comment `cali:` and 16 characters of URL-safe base64 of SHA-256.
 */
import { RULE_MARK } from "../names.ts";
import type { HookRule, RenderedChain, Rule } from "../program.ts";
import { sha256Base64Url } from "../sha256.ts";

const HASH_LENGTH = 16;
/** What xt_comment holds, less its closing zero. */
const MAX_COMMENT = 255;

/** A chain with its marks. The empty chain is a chain too: it returns. */
export function renderChain(name: string, rules: readonly Rule[], o: { readonly marks?: "chained" | "each" } = {}): RenderedChain {
  const bodies: string[] = [];
  const hashes: string[] = [];
  let hash = name;
  for (const rule of rules) {
    const body = printRule(rule);
    hash = sha256Base64Url((o.marks === "each" ? name : hash) + body, HASH_LENGTH);
    hashes.push(hash);
    bodies.push(body);
  }
  return { name, rules: bodies, hashes };
}

/** The chain as lines for iptables-restore, without the `-A CHAIN` where that is not wanted. */
export function chainLines({ name, rules, hashes }: RenderedChain, start = `-A ${name} `): readonly string[] {
  return rules.map((body, i) => `${start}-m comment --comment "${RULE_MARK}${hashes[i]}" ${body}`);
}

/** A rule of ours for a chain of the kernel's. `rule` is what stands after `-A CHAIN` or `-I CHAIN 1`. */
export function renderHook(chain: string, where: HookRule["where"], rule: Rule): HookRule {
  const body = printRule(rule);
  const hash = sha256Base64Url(`${chain} ${where} ${body}`, HASH_LENGTH);
  return { chain, where, rule: `-m comment --comment "${RULE_MARK}${hash}" ${body}`, hash };
}

/** Texts of rules that many chains share. */
const printed = new WeakMap<Rule, string>();

/** Comments, matches, jump: the part of a rule after its chain and mark. */
export function printRule(rule: Rule): string {
  let text = printed.get(rule);
  if (text === undefined) printed.set(rule, (text = printAfresh(rule)));
  return text;
}

function printAfresh(rule: Rule): string {
  const comments = (rule.comments ?? []).map((text) => `-m comment --comment "${safeComment(text)}"`);
  return [...comments, ...(rule.match === undefined || rule.match === "" ? [] : [rule.match]), rule.action]
    .filter((s) => s !== "")
    .join(" ");
}

/** Text that cannot end the quotes or the line: what is not plain becomes `_`. */
export function safeComment(text: string): string {
  return text.replace(/[^A-Za-z0-9 ._:/=,@()+*-]/g, "_").slice(0, MAX_COMMENT);
}

/** True if both are the same text for the kernel. */
export function sameChain(a: RenderedChain | undefined, b: RenderedChain | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.hashes.length === b.hashes.length && a.hashes.every((hash, i) => hash === b.hashes[i]);
}
