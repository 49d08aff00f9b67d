/** One table of the fake iptables: its chains, and what each line of restore text does to them. */
import { splitWords, valuesAfter } from "../domain/iptables-words.ts";
import type { IptablesTable } from "../ports.ts";

export type ChainState = { policy?: string; rules: string[] };
export type TableState = { readonly name: IptablesTable; readonly chains: Map<string, ChainState> };

const BUILT_IN: Readonly<Record<IptablesTable, readonly string[]>> = {
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
  raw: ["PREROUTING", "OUTPUT"],
};

const ANYWHERE = ["ACCEPT", "DROP", "RETURN", "QUEUE", "LOG", "NFLOG", "NFQUEUE", "MARK", "CONNMARK", "SET", "TCPMSS", "AUDIT", "TRACE"];
/** Targets that only these tables take. */
const TARGETS: Readonly<Record<string, readonly IptablesTable[]>> = {
  REJECT: ["filter"],
  DNAT: ["nat"],
  SNAT: ["nat"],
  MASQUERADE: ["nat"],
  REDIRECT: ["nat"],
  NETMAP: ["nat"],
  TPROXY: ["mangle"],
  DSCP: ["mangle"],
  CHECKSUM: ["mangle"],
  CT: ["raw"],
  NOTRACK: ["raw"],
};
const MAX_CHAIN_NAME = 28;
const MAX_COMMENT = 256;

export function makeTable(name: IptablesTable): TableState {
  return { name, chains: new Map(BUILT_IN[name].map((chain) => [chain, { policy: "ACCEPT", rules: [] }])) };
}

export function cloneTable(table: TableState): TableState {
  return { name: table.name, chains: new Map([...table.chains].map(([name, c]) => [name, { policy: c.policy, rules: [...c.rules] }])) };
}

/** The text of iptables-save, without comments and counters. */
export function renderTable(table: TableState): string {
  const chains = [...table.chains];
  return [
    `*${table.name}`,
    ...chains.map(([name, c]) => `:${name} ${c.policy ?? "-"} [0:0]`),
    ...chains.flatMap(([name, c]) => c.rules.map((rule) => `-A ${name} ${rule}`)),
    "COMMIT",
    "",
  ].join("\n");
}

/** Apply one line; the reason if it is refused. */
export function runTableLine(table: TableState, line: string, hasSet: (name: string) => boolean): string | undefined {
  if (line.startsWith(":")) return declareChain(table, line);
  const [verb = "", name = "", ...rest] = line.split(/\s+/);
  const chain = table.chains.get(name);
  if (["-N", "--new-chain"].includes(verb)) {
    return chain ? "Chain already exists." : makeChain(table, name);
  }
  if (["-F", "--flush"].includes(verb) && name === "") {
    for (const c of table.chains.values()) c.rules = [];
    return undefined;
  }
  if (!chain) return `No chain/target/match by that name: ${name}`;
  // The rule as it was written: words are joined by single blanks, but quotes stay.
  const spec = normalRule(line.slice(line.indexOf(name, verb.length) + name.length).trim());
  switch (verb) {
    case "-A":
    case "--append":
      return ruleProblem(table, name, spec, hasSet) ?? insert(chain, chain.rules.length, spec);
    case "-I":
    case "--insert":
      return insertAt(table, name, spec, hasSet);
    case "-R":
    case "--replace":
      return replaceAt(table, name, spec, hasSet);
    case "-D":
    case "--delete":
      return deleteRule(chain, spec);
    case "-F":
    case "--flush":
      chain.rules = [];
      return undefined;
    case "-X":
    case "--delete-chain":
      return deleteChain(table, name);
    case "-P":
    case "--policy":
      if (chain.policy === undefined) return "Bad built-in chain name.";
      chain.policy = rest[0] ?? "ACCEPT";
      return undefined;
    default:
      return `unknown option "${verb}"`;
  }
}

/** `:NAME POLICY [packets:bytes]`: makes a chain, flushes one of ours, sets the policy of a built-in one. */
function declareChain(table: TableState, line: string): string | undefined {
  const found = /^:(\S+) (\S+)( \[\d+:\d+\])?$/.exec(line);
  if (!found) return "Bad chain declaration, expected :NAME POLICY [0:0]";
  const [, name = "", policy = ""] = found;
  const chain = table.chains.get(name);
  if (chain?.policy !== undefined) {
    if (policy !== "-") chain.policy = policy;
    return undefined;
  }
  if (policy !== "-") return `Can't set policy \`${policy}' on \`${name}': Bad built-in chain name`;
  if (chain) chain.rules = [];
  return chain ? undefined : makeChain(table, name);
}

function makeChain(table: TableState, name: string): string | undefined {
  if (name.length > MAX_CHAIN_NAME) return `chain name \`${name}' too long (must be under ${MAX_CHAIN_NAME + 1} chars)`;
  if (name in TARGETS || ANYWHERE.includes(name) || /^[-!]/.test(name)) return `Invalid chain name \`${name}'`;
  table.chains.set(name, { rules: [] });
  return undefined;
}

function insert(chain: ChainState, at: number, spec: string): undefined {
  chain.rules.splice(at, 0, spec);
}

function insertAt(table: TableState, name: string, spec: string, hasSet: (name: string) => boolean): string | undefined {
  const numbered = /^(\d+)\s+(.*)$/.exec(spec);
  const at = Number(numbered?.[1] ?? 1);
  const chain = table.chains.get(name);
  if (!chain || at < 1 || at > chain.rules.length + 1) return "Index of insertion too big.";
  const rule = numbered?.[2] ?? spec;
  return ruleProblem(table, name, rule, hasSet) ?? insert(chain, at - 1, rule);
}

function replaceAt(table: TableState, name: string, spec: string, hasSet: (name: string) => boolean): string | undefined {
  const numbered = /^(\d+)\s+(.*)$/.exec(spec);
  const chain = table.chains.get(name);
  const at = Number(numbered?.[1] ?? 0);
  if (!chain || !numbered || at < 1 || at > chain.rules.length) return "Index of replacement too big.";
  const problem = ruleProblem(table, name, numbered[2] ?? "", hasSet);
  if (problem === undefined) chain.rules[at - 1] = numbered[2] ?? "";
  return problem;
}

function deleteRule(chain: ChainState, spec: string): string | undefined {
  const at = /^\d+$/.test(spec) ? Number(spec) - 1 : chain.rules.indexOf(spec);
  if (at < 0 || at >= chain.rules.length) return "Bad rule (does a matching rule exist in that chain?).";
  chain.rules.splice(at, 1);
  return undefined;
}

function deleteChain(table: TableState, name: string): string | undefined {
  const chain = table.chains.get(name);
  if (chain?.policy !== undefined) return "Can't delete built-in chain";
  if (chain && chain.rules.length > 0) return `Directory not empty: chain ${name} has rules`;
  for (const [from, c] of table.chains)
    if (c.rules.some((rule) => targetOf(rule) === name)) return `Too many links: chain ${from} refers to ${name}`;
  table.chains.delete(name);
  return undefined;
}

/** What the kernel has against a rule in that chain. */
function ruleProblem(table: TableState, chain: string, rule: string, hasSet: (name: string) => boolean): string | undefined {
  for (const set of setsOf(rule)) if (!hasSet(set)) return `Set ${set} doesn't exist.`;
  for (const comment of valuesAfter(splitWords(rule), "--comment")) if (comment.length > MAX_COMMENT) return "comment too long";
  const target = targetOf(rule);
  if (target === undefined || ANYWHERE.includes(target)) return undefined;
  const only = TARGETS[target];
  if (only)
    return only.includes(table.name) ? undefined : `target ${target} is only valid in the ${only.join(", ")} table, not ${table.name}`;
  const to = table.chains.get(target);
  if (!to || to.policy !== undefined) return `Couldn't load target \`${target}': No such chain or target`;
  return reaches(table, target, chain) ? `Too many levels of symbolic links: ${chain} and ${target} jump to each other` : undefined;
}

/** IP sets that a rule names. */
export function setsOf(rule: string): string[] {
  return valuesAfter(splitWords(rule), "--match-set", "--add-set", "--del-set");
}

function targetOf(rule: string): string | undefined {
  return valuesAfter(splitWords(rule), "-j", "--jump", "-g", "--goto")[0];
}

function reaches(table: TableState, from: string, to: string, seen = new Set<string>()): boolean {
  if (from === to) return true;
  if (seen.has(from)) return false;
  seen.add(from);
  return (table.chains.get(from)?.rules ?? []).some((rule) => {
    const target = targetOf(rule);
    return target !== undefined && reaches(table, target, to, seen);
  });
}

/** The spelling of iptables-save: short options, addresses with their length. Quoted comments stay as they are. */
function normalRule(spec: string): string {
  return spec
    .replace(
      /(^| )--(jump|goto|source|destination|protocol|in-interface|out-interface|match)(?= )/g,
      (_, lead: string, long: string) => `${lead}${SHORT[long]}`,
    )
    .replace(
      /(^| )(-s|-d) ([0-9.]+|[0-9a-f:]+)(?= |$)/g,
      (_, lead: string, option: string, ip: string) => `${lead}${option} ${ip}/${ip.includes(":") ? 128 : 32}`,
    );
}

const SHORT: Readonly<Record<string, string>> = {
  jump: "-j",
  goto: "-g",
  source: "-s",
  destination: "-d",
  protocol: "-p",
  "in-interface": "-i",
  "out-interface": "-o",
  match: "-m",
};
