import type { RawFacts } from "./domain/facts.ts";

/** The facts of a NetworkPolicy with this spec, for tests. */
export function policyFacts(
  spec: Readonly<Record<string, unknown>>,
  o: { readonly namespace?: string; readonly name?: string } = {},
): RawFacts {
  return { namespace: o.namespace ?? "default", name: o.name ?? "p", labels: {}, annotations: {}, body: { spec } };
}
