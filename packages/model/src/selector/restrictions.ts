/**
 * What a selector demands of single labels, for indexes: endpoints that miss it need not be asked.
 *
 * Source: calico libcalico-go/lib/selector/parser/label_restriction.go.
 */
import type { SelectorNode } from "./ast.ts";

/** Necessary, not sufficient: whatever matches the selector meets every restriction. */
export type LabelRestriction = {
  readonly mustBePresent: boolean;
  readonly mustBeAbsent: boolean;
  /** The label's value is one of these. An empty list: nothing can match. */
  readonly oneOf?: readonly string[];
};

export type LabelRestrictions = ReadonlyMap<string, LabelRestriction>;

const NONE: LabelRestrictions = new Map();

/** The restrictions of a selector; a label that is not there is unrestricted. */
export function labelRestrictions(node: SelectorNode): LabelRestrictions {
  switch (node.op) {
    case "eq":
      return restrict(node.label, { mustBePresent: true, mustBeAbsent: false, oneOf: [node.value] });
    case "in":
      return restrict(node.label, { mustBePresent: true, mustBeAbsent: false, oneOf: node.values });
    case "has":
    case "contains":
    case "startsWith":
    case "endsWith":
      return restrict(node.label, { mustBePresent: true, mustBeAbsent: false });
    case "not":
      return node.of.op === "has" ? restrict(node.of.label, { mustBePresent: false, mustBeAbsent: true }) : NONE;
    case "and":
      return node.of.map(labelRestrictions).reduce(both);
    case "or":
      return node.of.map(labelRestrictions).reduce(either);
    default:
      return NONE;
  }
}

function restrict(label: string, restriction: LabelRestriction): LabelRestrictions {
  return new Map([[label, restriction]]);
}

function both(a: LabelRestrictions, b: LabelRestrictions): LabelRestrictions {
  const out = new Map(a);
  for (const [label, restriction] of b) {
    const other = out.get(label);
    out.set(label, other === undefined ? restriction : bothOf(other, restriction));
  }
  return out;
}

function bothOf(a: LabelRestriction, b: LabelRestriction): LabelRestriction {
  const oneOf = a.oneOf && b.oneOf ? a.oneOf.filter((value) => b.oneOf?.includes(value)) : (a.oneOf ?? b.oneOf);
  return { mustBePresent: a.mustBePresent || b.mustBePresent, mustBeAbsent: a.mustBeAbsent || b.mustBeAbsent, ...(oneOf ? { oneOf } : {}) };
}

function either(a: LabelRestrictions, b: LabelRestrictions): LabelRestrictions {
  const out = new Map<string, LabelRestriction>();
  for (const [label, left] of a) {
    const right = b.get(label);
    if (right === undefined) continue;
    const oneOf = left.oneOf && right.oneOf ? [...new Set([...left.oneOf, ...right.oneOf])].sort() : undefined;
    const merged = {
      mustBePresent: left.mustBePresent && right.mustBePresent,
      mustBeAbsent: left.mustBeAbsent && right.mustBeAbsent,
      ...(oneOf ? { oneOf } : {}),
    };
    if (merged.mustBePresent || merged.mustBeAbsent) out.set(label, merged);
  }
  return out;
}
