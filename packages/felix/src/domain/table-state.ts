/**
 * A kernel table as `iptables-save` shows it, as far as felix cares: the marks in its own chains, and every rule of the chains that
 * it hooks into. Anything else belongs to others.
 */
import { CHAIN_PREFIX, RULE_MARK } from "./names.ts";
import { chainLines } from "./render/chain.ts";
import type { HookRule, RenderedChain, TableName } from "./program.ts";

export type TableState = {
  /** Chains of ours with the mark of each rule; "" for a rule without one, which somebody else put there. */
  readonly chains: Map<string, readonly string[]>;
  /** Rules of other chains, in order, without `-A CHAIN`. */
  readonly others: ReadonlyMap<string, readonly string[]>;
  /** Chains of ours that other people's rules lead to. */
  readonly held: ReadonlySet<string>;
};

const MARK = new RegExp(`--comment "?${RULE_MARK}([A-Za-z0-9_-]{16})"?(?: |$)`);
const TARGET = / -[jg] (\S+)/;

export function parseSave(text: string): TableState {
  const chains = new Map<string, string[]>();
  const others = new Map<string, string[]>();
  const held = new Set<string>();
  for (const line of text.split("\n")) {
    if (line.startsWith(`:${CHAIN_PREFIX}`)) chains.set(line.slice(1, line.indexOf(" ")), []);
    if (!line.startsWith("-A ")) continue;
    const space = line.indexOf(" ", 3);
    const chain = line.slice(3, space);
    const rule = line.slice(space + 1);
    const mark = markOf(rule);
    if (chain.startsWith(CHAIN_PREFIX)) {
      chains.get(chain)?.push(mark ?? "");
      continue;
    }
    others.set(chain, [...(others.get(chain) ?? []), rule]);
    const target = TARGET.exec(` ${rule}`)?.[1];
    if (mark === undefined && target?.startsWith(CHAIN_PREFIX)) held.add(target);
  }
  return { chains, others, held };
}

/** The mark of a rule of ours. */
export function markOf(rule: string): string | undefined {
  return MARK.exec(rule)?.[1];
}

export type TableChange = {
  readonly write: readonly RenderedChain[];
  readonly remove: readonly string[];
  /** Kernel chains whose hooks have to be put in place again. */
  readonly rehook: readonly string[];
};

/** What is to be done to a table. `dirty`: chains to look at; default all, unknown ones of ours too. */
export function planTable(
  wanted: { readonly chains: ReadonlyMap<string, RenderedChain>; readonly hooks: readonly HookRule[] },
  seen: TableState,
  dirty?: ReadonlySet<string>,
): TableChange {
  const names = dirty ?? new Set([...wanted.chains.keys(), ...seen.chains.keys()]);
  const write: RenderedChain[] = [];
  const remove: string[] = [];
  for (const name of names) {
    const chain = wanted.chains.get(name);
    if (chain === undefined && seen.chains.has(name) && !seen.held.has(name)) remove.push(name);
    if (chain !== undefined && !sameMarks(chain.hashes, seen.chains.get(name))) write.push(chain);
  }
  const hooked = new Set([
    ...wanted.hooks.map((h) => h.chain),
    ...[...seen.others].filter(([, rules]) => rules.some((r) => markOf(r) !== undefined)).map(([chain]) => chain),
  ]);
  return { write, remove, rehook: [...hooked].filter((chain) => !hooksInPlace(chain, wanted.hooks, seen.others.get(chain) ?? [])) };
}

function sameMarks(a: readonly string[], b: readonly string[] | undefined): boolean {
  return b !== undefined && a.length === b.length && a.every((mark, i) => mark === b[i]);
}

/** Hooks at the top are the first rules, but for those of proxy-nat, which are no policy; hooks at the end follow, in order. */
function hooksInPlace(chain: string, hooks: readonly HookRule[], rules: readonly string[]): boolean {
  const top = hooks.filter((h) => h.chain === chain && h.where === "top").map((h) => h.hash);
  const end = hooks.filter((h) => h.chain === chain && h.where === "end").map((h) => h.hash);
  const relevant = rules.filter((rule) => !rule.includes('--comment "calinat:') && !rule.includes("--comment calinat:")).map(markOf);
  const first = relevant.slice(0, top.length);
  const rest = relevant.slice(top.length).filter((mark) => mark !== undefined);
  return (
    sameMarks(
      top,
      first.map((m) => m ?? ""),
    ) && sameMarks(end, rest)
  );
}

/** The restore text of a change, or "" when there is nothing to do. */
export function printTableChange(
  table: TableName,
  change: TableChange,
  context: { readonly hooks: readonly HookRule[]; readonly seen: TableState },
): string {
  const { write, remove, rehook } = change;
  if (write.length + remove.length + rehook.length === 0) return "";
  const inserted = new Map(write.map((chain) => [chain, insertions(chain, context.seen.chains.get(chain.name))]));
  const rewritten = write.filter((chain) => inserted.get(chain) === undefined);
  const lines = [
    `*${table}`,
    ...[...rewritten.map((c) => c.name), ...remove].map((name) => `:${name} - [0:0]`),
    ...write.flatMap((chain) => inserted.get(chain) ?? chainLines(chain)),
    ...rehook.flatMap((chain) => rehookLines(chain, context)),
    ...remove.map((name) => `-X ${name}`),
    "COMMIT",
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/**
 * The lines that put in what the kernel's chain lacks; undefined where that does not make it the wanted one. By number, as of the last look:
 * if somebody changed the chain since, a rule may stand too low, where it is met too late and its traffic dropped, until the next look.
 */
function insertions(chain: RenderedChain, seen: readonly string[] | undefined): readonly string[] | undefined {
  if (seen === undefined || seen.length === 0) return undefined;
  let met = 0;
  const lines = chainLines(chain, "").flatMap((rule, i) => {
    if (chain.hashes[i] !== seen[met]) return [`-I ${chain.name} ${i + 1} ${rule}`];
    met++;
    return [];
  });
  return met === seen.length ? lines : undefined;
}

/** Our rules go by their own text, never by number: somebody may have put a rule in since we looked. */
function rehookLines(
  chain: string,
  { hooks, seen }: { readonly hooks: readonly HookRule[]; readonly seen: TableState },
): readonly string[] {
  const ours = (seen.others.get(chain) ?? []).filter((rule) => markOf(rule) !== undefined);
  const wanted = hooks.filter((hook) => hook.chain === chain);
  return [
    ...ours.map((rule) => `-D ${chain} ${rule}`),
    ...wanted
      .filter((h) => h.where === "top")
      .toReversed()
      .map((h) => `-I ${chain} 1 ${h.rule}`),
    ...wanted.filter((h) => h.where === "end").map((h) => `-A ${chain} ${h.rule}`),
  ];
}

/** What the table looks like once the change is made. */
export function afterChange(seen: TableState, change: TableChange, hooks: readonly HookRule[]): TableState {
  const chains = new Map(seen.chains);
  for (const name of change.remove) chains.delete(name);
  for (const { name, hashes } of change.write) chains.set(name, hashes);
  const others = new Map(seen.others);
  for (const chain of change.rehook) {
    const foreign = (seen.others.get(chain) ?? []).filter((rule) => markOf(rule) === undefined);
    const of = (where: HookRule["where"]) => hooks.filter((h) => h.chain === chain && h.where === where).map((h) => h.rule);
    others.set(chain, [...of("top"), ...foreign, ...of("end")]);
  }
  return { chains, others, held: seen.held };
}
