import { err, ok, type Result } from "@calico/model";
import { isMap, listOf, mapOf } from "./facts.ts";

export const ORCHESTRATOR_TERM = "projectcalico.org/orchestrator == 'k8s'";

type Subject = "pods" | "namespaces";

/**
 * A Kubernetes label selector as a Calico selector. One of pods always asks for the orchestrator too. Of namespaces: absent is
 * "", empty is all().
 *
 * Source: calico libcalico-go/lib/backend/k8s/conversion (k8sSelectorToCalico); facts §1.11.1, §1.11.2.
 */
export function convertSelector(selector: unknown, of: Subject, field: string): Result<string, string> {
  const terms = of === "pods" ? [ORCHESTRATOR_TERM] : [];
  if (selector === undefined || selector === null) return ok(terms.join(" && "));
  if (!isMap(selector)) return err(`${field}: expected a label selector`);
  const expressions = listOf(selector["matchExpressions"], `${field}.matchExpressions`);
  if (!expressions.ok) return expressions;
  const labels = Object.entries(mapOf(selector["matchLabels"])).toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (of === "namespaces" && labels.length === 0 && expressions.value.length === 0) return ok("all()");
  for (const [key, value] of labels) terms.push(`${key} == '${String(value)}'`);
  for (const [i, expression] of expressions.value.entries()) {
    const term = convertExpression(mapOf(expression), `${field}.matchExpressions[${i}]`);
    if (!term.ok) return term;
    terms.push(term.value);
  }
  return ok(terms.join(" && "));
}

function convertExpression(expression: Readonly<Record<string, unknown>>, field: string): Result<string, string> {
  const { key, operator } = expression;
  const values = listOf(expression["values"], `${field}.values`);
  if (!values.ok) return values;
  if (typeof key !== "string" || key === "") return err(`${field}.key: a label is required`);
  const set = `{ '${values.value.map(String).join("', '")}' }`;
  switch (operator) {
    case "In":
    case "NotIn":
      if (values.value.length === 0) return err(`${field}.values: ${operator} needs at least one value`);
      return ok(`${key} ${operator === "In" ? "in" : "not in"} ${set}`);
    case "Exists":
      return ok(`has(${key})`);
    case "DoesNotExist":
      return ok(`! has(${key})`);
    default:
      return err(`${field}.operator: ${JSON.stringify(operator)} is none of In, NotIn, Exists, DoesNotExist`);
  }
}
