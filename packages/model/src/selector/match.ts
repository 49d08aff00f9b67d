/** A selector as a predicate over labels. Source: calico libcalico-go/lib/selector/parser/ast.go (Evaluate). */
import type { SelectorNode } from "./ast.ts";

export type Labels = ReadonlyMap<string, string> | Readonly<Record<string, string>>;
/** The value of a label, or undefined if it is absent. */
export type LabelGetter = (label: string) => string | undefined;

/** `!=` and `not in` hold when the label is absent; every other comparison needs it. */
export function compileSelector(node: SelectorNode): (get: LabelGetter) => boolean {
  switch (node.op) {
    case "all":
    case "global":
      return () => true;
    case "has":
      return (get) => get(node.label) !== undefined;
    case "eq":
      return (get) => get(node.label) === node.value;
    case "ne":
      return (get) => get(node.label) !== node.value;
    case "contains":
      return (get) => get(node.label)?.includes(node.value) ?? false;
    case "startsWith":
      return (get) => get(node.label)?.startsWith(node.value) ?? false;
    case "endsWith":
      return (get) => get(node.label)?.endsWith(node.value) ?? false;
    case "in":
    case "notIn":
      return compileSet(node.label, new Set(node.values), node.op === "in");
    case "not": {
      const of = compileSelector(node.of);
      return (get) => !of(get);
    }
    case "and":
    case "or":
      return compileList(node.of.map(compileSelector), node.op);
  }
}

function compileSet(label: string, values: ReadonlySet<string>, wanted: boolean): (get: LabelGetter) => boolean {
  return (get) => {
    const value = get(label);
    return (value !== undefined && values.has(value)) === wanted;
  };
}

function compileList(parts: readonly ((get: LabelGetter) => boolean)[], op: "and" | "or"): (get: LabelGetter) => boolean {
  return op === "and" ? (get) => parts.every((part) => part(get)) : (get) => parts.some((part) => part(get));
}

/** A getter over a map or a plain object. */
export function labelGetter(labels: Labels): LabelGetter {
  if (labels instanceof Map) return (label) => labels.get(label);
  const object = labels as Readonly<Record<string, string>>;
  return (label) => (Object.hasOwn(object, label) ? object[label] : undefined);
}
