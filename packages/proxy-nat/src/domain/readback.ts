/** What the kernel holds of ours, read from `iptables-save`: by chain prefix and by comment, never by rule text, which the kernel rewrites. */
import { OURS } from "./names.ts";

export interface Saved {
  /** Our chains: the hash of each rule's comment, or undefined for a rule that we did not write. */
  readonly chains: ReadonlyMap<string, readonly (string | undefined)[]>;
  /** Our rules in chains that are not ours. `rule` is what follows `-A CHAIN`. */
  readonly hooks: readonly { readonly chain: string; readonly rule: string; readonly hash: string }[];
}

const COMMENT = new RegExp(`--comment "?${OURS.commentPrefix}([A-Za-z0-9_-]{16})`);

/** One table's text. */
export function parseSave(text: string): Saved {
  const chains = new Map<string, (string | undefined)[]>();
  const hooks: { chain: string; rule: string; hash: string }[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith(`:${OURS.chainPrefix}`)) chains.set(line.slice(1, line.indexOf(" ")), []);
    if (!line.startsWith("-A ")) continue;
    const end = line.indexOf(" ", 3);
    const chain = line.slice(3, end);
    const hash = COMMENT.exec(line)?.[1];
    if (chain.startsWith(OURS.chainPrefix)) chains.get(chain)?.push(hash);
    else if (hash !== undefined) hooks.push({ chain, rule: line.slice(end + 1), hash });
  }
  return { chains, hooks };
}
