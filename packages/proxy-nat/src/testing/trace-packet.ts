import { cidrContains, parseCidrLoose, parseIp } from "@calico/model";
import type { FakeTables } from "./fake-tables.ts";
import type { ParsedRule } from "./rule.ts";

/** The first packet of a connection. */
export interface Packet {
  readonly from: string;
  readonly to: string;
  readonly proto: "tcp" | "udp" | "sctp";
  readonly port: number;
  /** Sent by a process of the node itself: OUTPUT in place of PREROUTING and FORWARD. */
  readonly local?: boolean;
  /** The dice of each statistic match, in turn; default always 0, so that the first share is taken. */
  readonly dice?: readonly number[];
  /** Seconds since the client was last seen, by list; absent is never. */
  readonly seen?: Readonly<Record<string, number>>;
}

interface Walk {
  readonly packet: Packet;
  to: string;
  port: number;
  mark: number;
  dice: number[];
  passed: number;
  readonly remembered: string[];
}

/** Where a packet goes and what becomes of it: `10.1.0.1:8080`, `10.1.0.1:8080 masquerade`, `REJECT`, … */
export function tracePacket(
  tables: FakeTables,
  packet: Packet,
): { readonly verdict: string; readonly rulesPassed: number; readonly remembered: readonly string[] } {
  const walk: Walk = { packet, to: packet.to, port: packet.port, mark: 0, dice: [...(packet.dice ?? [])], passed: 0, remembered: [] };
  runChain(tables.chains("nat"), packet.local ? "OUTPUT" : "PREROUTING", walk);
  const rulesPassed = walk.passed;
  const filtered = runChain(tables.chains("filter"), packet.local ? "OUTPUT" : "FORWARD", walk);
  if (filtered === "REJECT" || filtered === "DROP") return { verdict: filtered, rulesPassed, remembered: walk.remembered };
  const post = runChain(tables.chains("nat"), "POSTROUTING", walk);
  const masquerade = post === "MASQUERADE" ? " masquerade" : "";
  return { verdict: `${walk.to}:${walk.port}${masquerade}`, rulesPassed, remembered: walk.remembered };
}

/** The terminal target reached, or undefined if the chain returned. */
function runChain(chains: ReadonlyMap<string, readonly ParsedRule[]>, name: string, walk: Walk): string | undefined {
  for (const rule of chains.get(name) ?? []) {
    walk.passed++;
    if (!matches(rule, walk)) continue;
    if (rule.recent?.set) walk.remembered.push(rule.recent.name);
    if (chains.has(rule.target)) {
      const result = runChain(chains, rule.target, walk);
      if (result !== undefined) return result;
      if (rule.isGoto) return undefined;
    } else if (rule.target === "RETURN") return undefined;
    else if (rule.target === "MARK") walk.mark = setXmark(walk.mark, rule.targetArgs);
    else {
      if (rule.target === "DNAT") [walk.to, walk.port] = splitTarget(rule.targetArgs[1] ?? "");
      return rule.target;
    }
  }
  return undefined;
}

function matches(rule: ParsedRule, walk: Walk): boolean {
  const { packet } = walk;
  if (rule.src !== undefined && inCidr(rule.src.cidr, packet.from) === rule.src.not) return false;
  if (rule.dst !== undefined && !inCidr(rule.dst, walk.to)) return false;
  if (rule.protocol !== undefined && rule.protocol !== packet.proto) return false;
  if (rule.dport !== undefined && rule.dport !== walk.port) return false;
  if (rule.mark !== undefined && ((walk.mark & rule.mark.mask) === rule.mark.value) === rule.mark.not) return false;
  if (rule.localSrc && !packet.local) return false;
  if (rule.recent !== undefined && !rule.recent.set && !((packet.seen?.[rule.recent.name] ?? Infinity) <= (rule.recent.seconds ?? 0)))
    return false;
  return rule.probability === undefined || (walk.dice.shift() ?? 0) < rule.probability;
}

function inCidr(cidr: string, ip: string): boolean {
  const net = parseCidrLoose(cidr);
  const address = parseIp(ip);
  return net.ok && address.ok && cidrContains(net.value, address.value);
}

/** `--set-xmark value/mask`: clear the mask's bits, then exclusive-or the value. */
function setXmark(mark: number, args: readonly string[]): number {
  const [value = 0, mask = 0xffffffff] = (args[1] ?? "").split("/").map(Number);
  return (mark & ~mask) ^ value;
}

function splitTarget(text: string): [string, number] {
  const at = text.lastIndexOf(":");
  return [text.slice(0, at).replace(/^\[|\]$/g, ""), Number(text.slice(at + 1))];
}
