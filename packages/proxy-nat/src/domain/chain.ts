import { OURS, ruleHash, type Family, type TableName } from "./names.ts";

/** One rule: what follows `-A CHAIN` without the comment, and the object that it is for. */
export interface Rule {
  readonly body: string;
  readonly why?: string;
}

/** A chain with its rules as `iptables-restore` reads them. `hashes` are those of the rules' comments, by which a read-back is compared. */
export interface Chain {
  readonly family: Family;
  readonly table: TableName;
  readonly name: string;
  readonly rules: readonly string[];
  readonly hashes: readonly string[];
}

export interface ChainRef {
  readonly family: Family;
  readonly table: TableName;
  readonly name: string;
}

/**
 * A chain of ours. Every rule carries `calinat:<hash16>`, a hash over this rule and all before it, and says which object it is for:
 * a restarted process with no memory compares hashes, a person reads the name.
 */
export function makeChain(ref: ChainRef, rules: readonly Rule[]): Chain {
  const hashes: string[] = [];
  let previous = `${ref.table}/${ref.name}`;
  const texts = rules.map((rule) => {
    previous = ruleHash(previous, `${rule.body}|${rule.why ?? ""}`);
    hashes.push(previous);
    return `-A ${ref.name} ${commented(rule, previous)}`;
  });
  return { family: ref.family, table: ref.table, name: ref.name, rules: texts, hashes };
}

/** The kernel's limit for a comment is 255; names come from outside, so what could end the quotes is replaced. */
const MAX_WHY = 200;

/** The rule's text with its comment before the target, where a human looks for it. */
export function commented(rule: Rule, hash: string): string {
  const why = rule.why === undefined ? "" : ` ${rule.why.replaceAll(/[^\w./:-]/g, "_").slice(0, MAX_WHY)}`;
  const comment = `${OURS.commentPrefix}${hash}${why}`;
  const at = rule.body.search(/(^| )-[jg] /);
  const match = rule.body.slice(0, at).trim();
  return `${match === "" ? "" : `${match} `}-m comment --comment "${comment}" ${rule.body.slice(at).trim()}`;
}

export function chainKey(ref: ChainRef): string {
  return `${ref.family}/${ref.table}/${ref.name}`;
}

export function sameChain(a: Chain, b: Chain): boolean {
  return a.hashes.length === b.hashes.length && a.hashes.at(-1) === b.hashes.at(-1);
}
