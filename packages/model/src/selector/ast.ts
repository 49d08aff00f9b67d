/** The parsed form of a selector, its canonical text, and rewriting of its labels. Source: calico libcalico-go/lib/selector/parser/ast.go. */

export type ComparisonOp = "eq" | "ne" | "contains" | "startsWith" | "endsWith";

export type SelectorNode =
  | { readonly op: "all" }
  | { readonly op: "global" }
  | { readonly op: "has"; readonly label: string }
  | { readonly op: ComparisonOp; readonly label: string; readonly value: string }
  /** `values` are sorted and without duplicates. */
  | { readonly op: "in" | "notIn"; readonly label: string; readonly values: readonly string[] }
  | { readonly op: "not"; readonly of: SelectorNode }
  /** Two or more. */
  | { readonly op: "and" | "or"; readonly of: readonly SelectorNode[] };

const WORDS = {
  eq: "==",
  ne: "!=",
  contains: "contains",
  startsWith: "starts with",
  endsWith: "ends with",
  in: "in",
  notIn: "not in",
} as const;

/** The canonical text. Parsing it gives the same tree. */
export function formatSelector(node: SelectorNode): string {
  switch (node.op) {
    case "all":
    case "global":
      return `${node.op}()`;
    case "has":
      return `has(${node.label})`;
    case "not":
      return `!${formatSelector(node.of)}`;
    case "and":
      return `(${node.of.map(formatSelector).join(" && ")})`;
    case "or":
      return `(${node.of.map(formatSelector).join(" || ")})`;
    case "in":
    case "notIn":
      return `${node.label} ${WORDS[node.op]} {${node.values.map(quote).join(", ")}}`;
    default:
      return `${node.label} ${WORDS[node.op]} ${quote(node.value)}`;
  }
}

function quote(value: string): string {
  return value.includes('"') ? `'${value}'` : `"${value}"`;
}

/** Both, or the one that is there. Keeps `and` of one as that one. */
export function andOf(nodes: readonly SelectorNode[]): SelectorNode {
  const [first] = nodes;
  if (first === undefined) return { op: "all" };
  return nodes.length === 1 ? first : { op: "and", of: nodes };
}

/** The negation; of a negation, what it negates. */
export function notOf(node: SelectorNode): SelectorNode {
  return node.op === "not" ? node.of : { op: "not", of: node };
}

/** Every label of the selector with a prefix before it. Source: calico PrefixVisitor. */
export function prefixLabels(node: SelectorNode, prefix: string): SelectorNode {
  return mapLeaves(node, (leaf) => ("label" in leaf ? { ...leaf, label: prefix + leaf.label } : leaf));
}

/** The same tree with each node that has no children replaced. */
export function mapLeaves(node: SelectorNode, replace: (leaf: SelectorNode) => SelectorNode): SelectorNode {
  switch (node.op) {
    case "not":
      return notOf(mapLeaves(node.of, replace));
    case "and":
    case "or":
      return { op: node.op, of: node.of.map((child) => mapLeaves(child, replace)) };
    default:
      return replace(node);
  }
}

/** True if `global()` stands anywhere in the selector. */
export function usesGlobal(node: SelectorNode): boolean {
  if (node.op === "not") return usesGlobal(node.of);
  if (node.op === "and" || node.op === "or") return node.of.some(usesGlobal);
  return node.op === "global";
}
