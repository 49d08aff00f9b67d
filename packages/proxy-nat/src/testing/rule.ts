/** One rule as the fake kernel understands it: the options that proxy-nat uses and no other. */
export interface ParsedRule {
  readonly text: string;
  readonly src?: { readonly cidr: string; readonly not: boolean };
  readonly dst?: string;
  readonly protocol?: string;
  readonly dport?: number;
  readonly mark?: { readonly value: number; readonly mask: number; readonly not: boolean };
  readonly newOnly?: boolean;
  readonly localSrc?: boolean;
  readonly probability?: number;
  readonly recent?: { readonly name: string; readonly seconds?: number; readonly set: boolean };
  readonly comment?: string;
  readonly target: string;
  readonly isGoto: boolean;
  readonly targetArgs: readonly string[];
}

const MATCHES = ["comment", "statistic", "recent", "mark", "conntrack", "addrtype"];

/** Read what follows `-A CHAIN`. Throws, as iptables-restore would refuse, on an option that is not known. */
export function parseRule(text: string): ParsedRule {
  const words = (text.match(/"[^"]*"|\S+/g) ?? []).map((w) => w.replaceAll('"', ""));
  const rule: { -readonly [K in keyof ParsedRule]?: ParsedRule[K] } = { text };
  const recent: { name?: string; seconds?: number; set?: boolean } = {};
  let not = false;
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const take = () => words.shift() ?? fail(text, `${word} needs a value`);
    if (word === "!") not = true;
    else if (word === "-m") void (MATCHES.includes(words[0] ?? "") ? take() : fail(text, `unknown match ${words[0]}`));
    else if (word === "-s") rule.src = { cidr: take(), not };
    else if (word === "-d") rule.dst = take();
    else if (word === "-p") rule.protocol = take();
    else if (word === "--dport") rule.dport = rule.protocol === undefined ? fail(text, "--dport needs -p before") : Number(take());
    else if (word === "--comment") rule.comment = take();
    else if (word === "--mark") rule.mark = { ...markOf(take()), not };
    else if (word === "--ctstate") rule.newOnly = take() === "NEW";
    else if (word === "--src-type") rule.localSrc = take() === "LOCAL";
    else if (word === "--mode") void (take() === "random" || fail(text, "only random is known"));
    else if (word === "--probability") rule.probability = Number(take());
    else if (word === "--name") recent.name = take();
    else if (word === "--seconds") recent.seconds = Number(take());
    else if (word === "--set") recent.set = true;
    else if (["--rcheck", "--reap", "--rsource"].includes(word)) recent.set ??= false;
    else if (word === "-j" || word === "-g") {
      rule.target = take();
      rule.isGoto = word === "-g";
      rule.targetArgs = words.splice(0);
    } else fail(text, `unknown option ${word}`);
    if (word !== "!") not = false;
  }
  if (rule.target === undefined) fail(text, "no target");
  if (recent.name !== undefined) rule.recent = { name: recent.name, seconds: recent.seconds, set: recent.set ?? false };
  return rule as ParsedRule;
}

function markOf(text: string): { value: number; mask: number } {
  const [value = "0", mask = "0xffffffff"] = text.split("/");
  return { value: Number(value), mask: Number(mask) };
}

function fail(text: string, why: string): never {
  throw new Error(`iptables-restore: ${why}: ${text}`);
}
