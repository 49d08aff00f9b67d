/**
 * Evaluates the matches of one rule as iptables would. It knows what felix writes and throws on anything else: a match that is passed
 * over would make a wrong verdict look right.
 */
import { cidrContains, parseCidrLoose, parseIp } from "@calico/model";
import type { Program } from "../program.ts";
import type { Packet } from "./packet.ts";

export type TraceContext = { readonly program: Program; readonly packet: Packet; mark: number };

/** Words of a rule; quotes hold a word together. */
export function splitWords(rule: string): readonly string[] {
  return [...rule.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2]!);
}

type Reader = { readonly words: readonly string[]; at: number };
type Match = (r: Reader, c: TraceContext) => boolean;

/** Each option with how it reads its arguments. A match module (`-m …`) has no effect of its own. */
const OPTIONS: Readonly<Record<string, Match>> = {
  "-m": (r) => (next(r), true),
  "--comment": (r) => (next(r), true),
  "-i": (r, c) => interfaceMatches(next(r), c.packet.in),
  "-o": (r, c) => interfaceMatches(next(r), c.packet.out),
  "-p": (r, c) => protocolOf(next(r)) === protocolOf(c.packet.protocol),
  "--source": (r, c) => inNet(next(r), c.packet.src),
  "--destination": (r, c) => inNet(next(r), c.packet.dst),
  "--ctstate": (r, c) =>
    next(r)
      .split(",")
      .includes(c.packet.state ?? "NEW"),
  "--mark": (r, c) => markMatches(next(r), c.mark),
  "--match-set": (r, c) => inSet(next(r), next(r), c),
  "--source-ports": (r, c) => portMatches(next(r), c.packet.sport),
  "--destination-ports": (r, c) => portMatches(next(r), c.packet.dport),
  "--icmp-type": (r, c) => icmpMatches(next(r), c.packet.icmp),
  "--icmpv6-type": (r, c) => icmpMatches(next(r), c.packet.icmp),
};

export type ParsedAction = { readonly kind: "jump" | "goto"; readonly target: string; readonly words: readonly string[] } | undefined;

/** What iptables takes once per rule; twice, it refuses the rule. */
const ONCE: ReadonlySet<string> = new Set(["-i", "-o", "-p", "--source", "--destination"]);

/** Whether all matches hold, and what the rule then does. A `!` before an option or in its module's arguments turns that option round. */
export function evaluateRule(rule: string, context: TraceContext): { readonly matched: boolean; readonly action: ParsedAction } {
  const r: Reader = { words: splitWords(rule), at: 0 };
  let matched = true;
  let not = false;
  const seen = new Set<string>();
  while (r.at < r.words.length) {
    const word = next(r);
    if (word === "!") {
      not = true;
      continue;
    }
    if (word === "--jump" || word === "--goto") {
      return { matched, action: { kind: word === "--jump" ? "jump" : "goto", target: next(r), words: r.words.slice(r.at) } };
    }
    const option = OPTIONS[word];
    if (option === undefined) throw new Error(`Cannot trace rule "${rule}": option ${word} is not known to the tracer`);
    if (ONCE.has(word) && seen.has(word))
      throw new Error(`Cannot trace rule "${rule}": ${word} is there twice; the kernel would refuse the rule`);
    seen.add(word);
    if (option(r, context) === not && word !== "-m") matched = false;
    if (word !== "-m") not = false;
  }
  return { matched, action: undefined };
}

function next(r: Reader): string {
  const word = r.words[r.at++];
  if (word === undefined) throw new Error(`Cannot trace rule "${r.words.join(" ")}": it ends in the middle of an option`);
  return word;
}

function interfaceMatches(pattern: string, name: string | undefined): boolean {
  if (name === undefined) return false;
  return pattern.endsWith("+") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

const NUMBERS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, icmp: 1, icmpv6: 58, sctp: 132, udplite: 136, ipencap: 4 };

function protocolOf(p: string | number): number {
  const number = NUMBERS[p] ?? Number(p);
  if (Number.isNaN(number)) throw new Error(`Cannot trace: protocol "${p}" is not known to the tracer`);
  return number;
}

function inNet(net: string, address: string): boolean {
  const cidr = parseCidrLoose(net);
  const ip = parseIp(address);
  return cidr.ok && ip.ok && cidrContains(cidr.value, ip.value);
}

function markMatches(text: string, mark: number): boolean {
  const [value, mask] = text.split("/").map(Number);
  return (mark & mask!) >>> 0 === value! >>> 0;
}

function portMatches(list: string, port: number | undefined): boolean {
  if (port === undefined) return false;
  return list.split(",").some((range) => {
    const [min, max] = range.split(":").map(Number);
    return port >= min! && port <= (max ?? min!);
  });
}

function icmpMatches(text: string, icmp: Packet["icmp"]): boolean {
  const [type, code] = text.split("/").map(Number);
  return icmp !== undefined && icmp.type === type && (code === undefined || icmp.code === code);
}

function inSet(name: string, flags: string, { program, packet }: TraceContext): boolean {
  const set = program.sets.get(name);
  if (set === undefined) throw new Error(`Cannot trace: there is no IP set ${name}; the kernel would refuse the rule`);
  const address = flags.startsWith("src") ? packet.src : packet.dst;
  if (set.type !== "hash:ip,port") return [...set.members].some((member) => inNet(member, address));
  const port = flags.startsWith("src") ? packet.sport : packet.dport;
  return set.members.has(`${address},${packet.protocol}:${port}`);
}
