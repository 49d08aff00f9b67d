/**
 * Follows one packet through a program's filter chains, as the kernel would: for tests of what policies mean, and to say why a
 * packet passes or not.
 */
import { CHAIN_PREFIX } from "../names.ts";
import { tableKey } from "../program.ts";
import { chainLines } from "../render/chain.ts";
import type { Program } from "../program.ts";
import { evaluateRule } from "./matches.ts";
import type { TraceContext } from "./matches.ts";
import type { Packet } from "./packet.ts";

export type Trace = {
  /** `none`: felix has no opinion, the chain's policy decides. */
  readonly verdict: "accept" | "drop" | "none";
  /** The rules that matched, `chain: rule`, in order. */
  readonly path: readonly string[];
};

type Step = "accept" | "drop" | "return";
type Walk = TraceContext & { readonly rulesOf: (chain: string) => readonly string[]; readonly path: string[] };

/** The verdict of one chain of the kernel's: INPUT, FORWARD or OUTPUT. */
export function tracePacket(program: Program, packet: Packet, hook: "INPUT" | "FORWARD" | "OUTPUT" = "FORWARD"): Trace {
  const family = packet.src.includes(":") ? 6 : 4;
  const key = tableKey(family, "filter");
  const chains = program.chains.get(key);
  const hooks = (program.hooks.get(key) ?? []).filter((h) => h.chain === hook).map((h) => h.rule);
  const rulesOf = (name: string): readonly string[] => {
    if (name === hook) return hooks;
    const chain = chains?.get(name);
    if (chain === undefined) throw new Error(`Cannot trace: chain ${name} is jumped to but not there; the kernel would refuse the rule`);
    return chainLines(chain, "");
  };
  const walk: Walk = { program, packet, mark: 0, rulesOf, path: [] };
  const step = walkChain(hook, walk);
  return { verdict: step === "return" ? "none" : step, path: walk.path };
}

function walkChain(chain: string, walk: Walk): Step {
  for (const rule of walk.rulesOf(chain)) {
    const { matched, action } = evaluateRule(rule, walk);
    if (!matched || action === undefined) continue;
    walk.path.push(`${chain}: ${rule.replace(/^-m comment --comment "cali:[^"]*" /, "")}`);
    if (action.kind === "goto") return walkChain(action.target, walk);
    const step = act(action.target, action.words, walk);
    if (step !== undefined) return step;
  }
  return "return";
}

/** What a matched jump does; undefined: the next rule. */
function act(target: string, words: readonly string[], walk: Walk): Step | undefined {
  if (target === "ACCEPT") return "accept";
  if (target === "DROP") return "drop";
  if (target === "RETURN") return "return";
  if (target === "LOG") return undefined;
  if (target === "MARK") return setMark(words, walk);
  if (!target.startsWith(CHAIN_PREFIX)) throw new Error(`Cannot trace: target ${target} is not known to the tracer`);
  const step = walkChain(target, walk);
  return step === "return" ? undefined : step;
}

/** `--set-mark value/mask`: clear the mask's bits, then set the value's. */
function setMark(words: readonly string[], walk: Walk): undefined {
  const [value, mask] = (words[1] ?? "").split("/").map(Number);
  walk.mark = ((walk.mark & ~mask!) | value!) >>> 0;
  return undefined;
}
