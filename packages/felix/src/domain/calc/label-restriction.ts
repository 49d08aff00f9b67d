/**
 * What labels a selector needs at least. An index by it finds the selectors that an endpoint could match without asking all.
 *
 * Source: Calico libcalico-go/lib/selector/parser (LabelRestrictions).
 */
import type { SelectorNode } from "@calico/model";

/** The values that a label must have one of; `any`: it must be there. A label that is not in the map is free. */
export type Restrictions = ReadonlyMap<string, ReadonlySet<string> | "any">;

const FREE: Restrictions = new Map();

export function restrictionsOf(node: SelectorNode): Restrictions {
  switch (node.op) {
    case "eq":
      return new Map([[node.label, new Set([node.value])]]);
    case "in":
      return new Map([[node.label, new Set(node.values)]]);
    case "has":
    case "contains":
    case "startsWith":
    case "endsWith":
      return new Map([[node.label, "any"]]);
    case "and":
      return node.of.map(restrictionsOf).reduce(both, FREE);
    case "or":
      return node.of.map(restrictionsOf).reduce(either);
    default:
      return FREE;
  }
}

function both(a: Restrictions, b: Restrictions): Restrictions {
  const out = new Map(a);
  for (const [label, values] of b) {
    const other = out.get(label);
    out.set(
      label,
      other === undefined || other === "any" ? values : values === "any" ? other : new Set([...values].filter((v) => other.has(v))),
    );
  }
  return out;
}

function either(a: Restrictions, b: Restrictions): Restrictions {
  const out = new Map<string, ReadonlySet<string> | "any">();
  for (const [label, values] of a) {
    const other = b.get(label);
    if (other === undefined) continue;
    out.set(label, values === "any" || other === "any" ? "any" : new Set([...values, ...other]));
  }
  return out;
}
