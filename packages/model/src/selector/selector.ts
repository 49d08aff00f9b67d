/**
 * A selector: what a policy, a pool or a peer uses to say "objects with such labels".
 *
 * Source: calico libcalico-go/lib/selector.
 */
import { ok } from "../result.ts";
import { formatSelector } from "./ast.ts";
import { compileSelector, labelGetter } from "./match.ts";
import { parseSelectorNode } from "./parse.ts";
import { makeUniqueId } from "./unique-id.ts";
import type { Result } from "../result.ts";
import type { SelectorNode } from "./ast.ts";
import type { LabelGetter, Labels } from "./match.ts";
import type { SelectorError } from "./parse.ts";

export type Selector = {
  readonly ast: SelectorNode;
  readonly canonical: string;
  /** `s:` and 38 characters: equal for selectors with equal canonical text. Computed at first use. */
  readonly uniqueId: string;
  matches(labels: Labels): boolean;
  /** As matches, for labels that are not in one map (an endpoint's own and those of its profiles). */
  matchesBy(get: LabelGetter): boolean;
};

/** A selector from text, or where and why it cannot be read. Empty text is `all()`. */
export function parseSelector(text: string): Result<Selector, SelectorError> {
  const node = parseSelectorNode(text);
  return node.ok ? ok(selectorOf(node.value)) : node;
}

/** A selector from its tree. */
export function selectorOf(ast: SelectorNode): Selector {
  const canonical = formatSelector(ast);
  const predicate = compileSelector(ast);
  let id: string | undefined;
  return {
    ast,
    canonical,
    get uniqueId() {
      return (id ??= makeUniqueId("s", canonical));
    },
    matches: (labels) => predicate(labelGetter(labels)),
    matchesBy: predicate,
  };
}
