/** A strict ipset without a kernel: types, families, member forms, sizes, and no destroying of what rules still use. */
import { err, formatCidr, ok, parseCidrLoose, parseIp } from "@calico/model";
import type { Ipset, IpsetError, IpsetInfo } from "../ports.ts";

const TYPES = ["hash:ip", "hash:net", "hash:ip,port", "hash:net,port", "hash:net,net", "bitmap:port"] as const;
type SetType = (typeof TYPES)[number];
const DEFAULT_MAXELEM = 65_536;
const MAX_NAME = 31;

export type FakeIpset = Ipset & {
  /** Scripts given to restore, in order. */
  readonly recorded: readonly string[];
  has(name: string): boolean;
  /** Members as listed; undefined if there is no such set. */
  members(name: string): readonly string[] | undefined;
  /** Sets that somebody's rules refer to; fake iptables made with this ipset registers itself. */
  addReferences(names: () => Iterable<string>): void;
  failNext(message: string): void;
};

type SetState = { type: SetType; family: "inet" | "inet6"; maxelem: number; members: Set<string> };

export function makeFakeIpset(): FakeIpset {
  const sets = new Map<string, SetState>();
  const recorded: string[] = [];
  const references: (() => Iterable<string>)[] = [];
  const faults: string[] = [];
  const inUse = (name: string) => references.some((names) => [...names()].includes(name));

  const runLine = (line: string): string | undefined => {
    const [verb, name = "", ...rest] = line.split(/\s+/);
    switch (verb) {
      case "create":
      case "-N":
        return create(sets, name, rest);
      case "add":
      case "-A":
        return add(sets.get(name), rest);
      case "del":
      case "-D":
        return remove(sets.get(name), rest);
      case "flush":
        if (name === "") for (const set of sets.values()) set.members.clear();
        else if (!sets.has(name)) return NO_SET;
        sets.get(name)?.members.clear();
        return undefined;
      case "swap":
        return swap(sets, name, rest[0] ?? "");
      case "destroy":
        if (name !== "" && inUse(name)) return "Set cannot be destroyed: it is in use by a kernel component";
        sets.delete(name); // with -exist no error if it is not there
        return undefined;
      default:
        return `Unknown argument: \`${verb}'`;
    }
  };

  return {
    get recorded() {
      return recorded;
    },
    async restore(script) {
      recorded.push(script);
      const fault = faults.shift();
      if (fault !== undefined) return err(refused(fault));
      for (const [i, raw] of script.split("\n").entries()) {
        const line = raw.trim();
        if (line === "" || line.startsWith("#") || line === "COMMIT") continue;
        const reason = runLine(line);
        if (reason !== undefined) return err(refused(`Error in line ${i + 1}: ${reason}`, { line: i + 1, text: raw }));
      }
      return ok(undefined);
    },
    async list(name) {
      return [...sets].filter(([n]) => name === undefined || n === name).map(([n, set]) => info(n, set));
    },
    names: async () => [...sets.keys()],
    has: (name) => sets.has(name),
    members: (name) => (sets.has(name) ? [...(sets.get(name)?.members ?? [])].sort() : undefined),
    addReferences: (names) => void references.push(names),
    failNext: (message) => void faults.push(message),
  };
}

const NO_SET = "The set with the given name does not exist";

function info(name: string, set: SetState): IpsetInfo {
  const members = [...set.members].sort();
  return set.type === "bitmap:port"
    ? { name, type: set.type, members }
    : { name, type: set.type, family: set.family, maxelem: set.maxelem, members };
}

function create(sets: Map<string, SetState>, name: string, words: readonly string[]): string | undefined {
  const [type, ...options] = words;
  if (name === "" || name.length > MAX_NAME) return `Syntax error: setname '${name}' is longer than ${MAX_NAME} characters`;
  if (!TYPES.includes(type as SetType)) return `Syntax error: unknown settype ${type}`;
  const after = (option: string) => (options.includes(option) ? options[options.indexOf(option) + 1] : undefined);
  const family = after("family") ?? "inet";
  if (family !== "inet" && family !== "inet6") return `Syntax error: unknown INET family ${family}`;
  if (type === "bitmap:port" && after("range") === undefined) return "Mandatory option `range' is missing";
  const made: SetState = { type: type as SetType, family, maxelem: Number(after("maxelem") ?? DEFAULT_MAXELEM), members: new Set() };
  const existing = sets.get(name);
  if (!existing) sets.set(name, made);
  else if (existing.type !== made.type || existing.family !== made.family)
    return "Set cannot be created: set with the same name already exists";
  return undefined;
}

function add(set: SetState | undefined, words: readonly string[]): string | undefined {
  if (!set) return NO_SET;
  const member = canonicalMember(set, words[0] ?? "");
  if (!member.ok) return member.error;
  if (set.members.has(member.value)) return undefined;
  if (set.type !== "bitmap:port" && set.members.size >= set.maxelem) return "Hash is full, cannot add more elements";
  set.members.add(member.value);
  return undefined;
}

function remove(set: SetState | undefined, words: readonly string[]): string | undefined {
  if (!set) return NO_SET;
  const member = canonicalMember(set, words[0] ?? "");
  if (!member.ok) return member.error;
  set.members.delete(member.value);
  return undefined;
}

function swap(sets: Map<string, SetState>, a: string, b: string): string | undefined {
  const [first, second] = [sets.get(a), sets.get(b)];
  if (!first || !second) return "Sets cannot be swapped: the second set does not exist";
  if (first.type !== second.type || first.family !== second.family) return "The sets cannot be swapped: their type does not match";
  sets.set(a, second);
  sets.set(b, first);
  return undefined;
}

/** The form in which `ipset save` shows a member. */
function canonicalMember(set: SetState, text: string) {
  const parts = text.split(",");
  const kinds = set.type.slice(set.type.indexOf(":") + 1).split(",");
  if (parts.length !== kinds.length) return err(`Syntax error: expected ${set.type}, got ${text}`);
  const done: string[] = [];
  for (const [i, part] of parts.entries()) {
    const one = canonicalPart(set.family, kinds[i] ?? "", part, set.type === "bitmap:port");
    if (!one.ok) return one;
    done.push(one.value);
  }
  return ok(done.join(","));
}

function canonicalPart(family: "inet" | "inet6", kind: string, part: string, plainPort: boolean) {
  const wanted = family === "inet" ? 4 : 6;
  if (kind === "port") {
    const port = /^(?:(tcp|udp|sctp|udplite):)?(\d{1,5})$/.exec(part);
    if (!port || Number(port[2]) > 65535) return err(`Syntax error: cannot parse port ${part}`);
    return ok(plainPort ? (port[2] ?? "") : `${port[1] ?? "tcp"}:${port[2]}`);
  }
  const cidr = parseCidrLoose(part);
  const fullLen = wanted === 4 ? 32 : 128;
  if (!cidr.ok || cidr.value.family !== wanted) return err(`Syntax error: cannot parse ${part}: resolving to IPv${wanted} address failed`);
  if (kind === "ip") {
    if (cidr.value.len !== fullLen) return err(`the fake takes single addresses in hash:ip, not ${part}`);
    return parseIp(part.split("/")[0] ?? "").ok
      ? ok(formatCidr(cidr.value).split("/")[0] ?? "")
      : err(`Syntax error: cannot parse ${part}`);
  }
  if (cidr.value.len === 0) return err("The value of the CIDR parameter of the IP address is invalid");
  const text = formatCidr(cidr.value);
  return ok(cidr.value.len === fullLen ? (text.split("/")[0] ?? "") : text);
}

function refused(reason: string, where: { line?: number; text?: string } = {}): IpsetError {
  return { kind: "refused", ...where, message: `Cannot apply IP sets: ${reason}` };
}
