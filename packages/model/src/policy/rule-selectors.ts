/**
 * What the selectors of a policy and its rules mean on the labels of endpoints.
 *
 * An endpoint has its own labels and those that its profiles give it: `pcns.` and its namespace's, `pcsa.` and its service account's.
 * A namespace selector is therefore a selector whose labels carry the prefix; and so on.
 *
 * Source: calico libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go and networkpolicyprocessor.go.
 */
import { andOf, prefixLabels } from "../selector/ast.ts";
import { parseSelectorNode } from "../selector/parse.ts";
import { selectorOf } from "../selector/selector.ts";
import type { EntityRule } from "../resources/rule.ts";
import type { SelectorNode } from "../selector/ast.ts";
import type { Selector } from "../selector/selector.ts";

export const NAMESPACE_LABEL = "projectcalico.org/namespace";
export const ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator";
export const SERVICE_ACCOUNT_LABEL = "projectcalico.org/serviceaccount";
export const NAMESPACE_PREFIX = "pcns.";
export const SERVICE_ACCOUNT_PREFIX = "pcsa.";

export type PolicySelectors = {
  readonly selector: string | undefined;
  /** The namespace of a namespaced policy. */
  readonly namespace: string | undefined;
  readonly namespaceSelector: string | undefined;
  readonly serviceAccountSelector: string | undefined;
};

/** Which endpoints a policy applies to. Throws on a selector that parseResource would refuse. */
export function policySelector(policy: PolicySelectors): Selector {
  let node = policy.selector ? [parse(policy.selector)] : [];
  const scope = scopeOf(policy.namespaceSelector, policy.namespace);
  if (scope !== undefined) node = [andOf([...node, scope])];
  if (policy.serviceAccountSelector) node = [andOf([...node, serviceAccountNode(policy.serviceAccountSelector)])];
  return selectorOf(andOf(node));
}

/** The two selectors of one side of a rule. Both absent: the side matches anything, endpoints or not. */
export function ruleSelector(
  entity: EntityRule,
  namespace: string | undefined,
): { readonly selector?: Selector; readonly notSelector?: Selector } {
  const accounts = accountsNode(entity.serviceAccounts);
  const used = Boolean(entity.selector || entity.notSelector || entity.namespaceSelector || accounts);
  const scope = used ? scopeOf(entity.namespaceSelector, namespace) : undefined;
  const own = entity.selector ? parse(entity.selector) : undefined;
  const refined = [accounts, own].filter((node) => node !== undefined);
  const parts = [scope, refined.length === 0 ? undefined : andOf(refined)].filter((node) => node !== undefined);
  return {
    ...(parts.length === 0 ? {} : { selector: selectorOf(andOf(parts)) }),
    ...(entity.notSelector ? { notSelector: selectorOf(parse(entity.notSelector)) } : {}),
  };
}

/** Which namespaces are meant: those selected, else the policy's own, else no restriction. */
function scopeOf(namespaceSelector: string | undefined, namespace: string | undefined): SelectorNode | undefined {
  if (namespaceSelector) return namespaceNode(namespaceSelector);
  return namespace === undefined ? undefined : { op: "eq", label: NAMESPACE_LABEL, value: namespace };
}

function namespaceNode(text: string): SelectorNode {
  const node = parse(text);
  if (node.op === "all") return { op: "has", label: NAMESPACE_LABEL };
  if (node.op === "global") return { op: "not", of: { op: "has", label: NAMESPACE_LABEL } };
  return prefixLabels(node, NAMESPACE_PREFIX);
}

function serviceAccountNode(text: string): SelectorNode {
  const node = parse(text);
  return node.op === "all" ? { op: "has", label: SERVICE_ACCOUNT_LABEL } : prefixLabels(node, SERVICE_ACCOUNT_PREFIX);
}

function accountsNode(accounts: EntityRule["serviceAccounts"]): SelectorNode | undefined {
  const parts: SelectorNode[] = [];
  if (accounts?.names && accounts.names.length > 0)
    parts.push({ op: "in", label: SERVICE_ACCOUNT_LABEL, values: [...new Set(accounts.names)].sort() });
  if (accounts?.selector) parts.push(serviceAccountNode(accounts.selector));
  return parts.length === 0 ? undefined : andOf(parts);
}

function parse(text: string): SelectorNode {
  const node = parseSelectorNode(text);
  if (!node.ok) throw new TypeError(`Cannot parse selector ${JSON.stringify(text)} at ${node.error.at}: ${node.error.reason}`);
  return node.value;
}
