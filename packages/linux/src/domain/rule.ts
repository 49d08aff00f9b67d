/** rtnetlink routing policy rules, of the kind "packets like this look into that table". Source: Linux uapi/linux/fib_rules.h. */
import type { Rule } from "../ports.ts";
import { AF_INET, AF_INET6, afOf, ipOfOctets, octetsOfCidr } from "./octets.ts";
import { NLM_F, RTM } from "./protocol.ts";
import { decodeAttributes, MessageWriter, readString, readU32 } from "./wire.ts";

const FRA = { dst: 1, src: 2, iifname: 3, priority: 6, fwmark: 10, table: 15, fwmask: 16 } as const;
const TO_TABLE = 1;
const FIB_RULE_HDR_OCTETS = 12;

/** struct fib_rule_hdr: family, dst len, src len, tos, table, reserved ×2, action (u8 each), flags u32. */
function header(w: MessageWriter, family: number, h: { dstLen?: number; srcLen?: number; table?: number; action?: number }): void {
  const table = h.table ?? 0;
  w.u8(family)
    .u8(h.dstLen ?? 0)
    .u8(h.srcLen ?? 0)
    .u8(0)
    .u8(table > 255 ? 0 : table)
    .u8(0)
    .u8(0)
    .u8(h.action ?? 0)
    .u32(0);
}

export function encodeGetRules(family: 4 | 6): Uint8Array {
  const w = new MessageWriter(RTM.getRule, NLM_F.request | NLM_F.dump);
  header(w, afOf(family), {});
  return w.finish();
}

export function encodeAddRule(rule: Rule): Uint8Array {
  return encode(new MessageWriter(RTM.newRule, NLM_F.request | NLM_F.create | NLM_F.exclusive), rule);
}

export function encodeDeleteRule(rule: Rule): Uint8Array {
  return encode(new MessageWriter(RTM.delRule, NLM_F.request), rule);
}

function encode(w: MessageWriter, rule: Rule): Uint8Array {
  const src = rule.src === undefined ? undefined : octetsOfCidr(rule.src);
  const dst = rule.dst === undefined ? undefined : octetsOfCidr(rule.dst);
  header(w, afOf(rule.family), { dstLen: dst?.len, srcLen: src?.len, table: rule.table, action: TO_TABLE });
  w.attrU32(FRA.priority, rule.priority);
  w.attrU32(FRA.table, rule.table);
  if (src) w.attr(FRA.src, src.octets);
  if (dst) w.attr(FRA.dst, dst.octets);
  if (rule.iif !== undefined) w.attrString(FRA.iifname, rule.iif);
  if (rule.mark !== undefined) w.attrU32(FRA.fwmark, rule.mark).attrU32(FRA.fwmask, rule.mask ?? 0xffffffff);
  return w.finish();
}

/** The body of an RTM_NEWRULE; undefined for rules with another action or family. */
export function decodeRule(body: Uint8Array): Rule | undefined {
  const family = body[0] === AF_INET ? 4 : body[0] === AF_INET6 ? 6 : undefined;
  if (family === undefined || body[7] !== TO_TABLE) return undefined;
  const attrs = decodeAttributes(body, FIB_RULE_HDR_OCTETS);
  const src = attrs.get(FRA.src);
  const dst = attrs.get(FRA.dst);
  const mark = readU32(attrs.get(FRA.fwmark));
  return {
    family,
    priority: readU32(attrs.get(FRA.priority)) ?? 0,
    table: readU32(attrs.get(FRA.table)) ?? body[4] ?? 0,
    src: src && `${ipOfOctets(src)}/${body[2]}`,
    dst: dst && `${ipOfOctets(dst)}/${body[1]}`,
    iif: readString(attrs.get(FRA.iifname)),
    mark,
    mask: mark === undefined ? undefined : readU32(attrs.get(FRA.fwmask)),
  };
}
