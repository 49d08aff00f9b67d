/** Namespaces and service accounts as profiles: what gives pods the labels that namespaceSelector and serviceAccountSelector look for. */
import type { Converted } from "./converted.ts";
import type { Labels, NamedFacts } from "./facts.ts";

export const NAMESPACE_PROFILE = "kns.";
export const SERVICE_ACCOUNT_PROFILE = "ksa.";

/** Source: calico libcalico-go/lib/backend/k8s/conversion (NamespaceToProfile); facts §1.11.6, §7.2.1. */
export function profileOfNamespace({ name, labels }: NamedFacts): Converted<"Profile"> {
  const spec = { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }], labelsToApply: prefixed("pcns.", labels, name) };
  return { kind: "wanted", object: { kind: "Profile", metadata: { name: NAMESPACE_PROFILE + name }, spec }, problems: [] };
}

/** Source: calico libcalico-go/lib/backend/k8s/conversion (ServiceAccountToProfile); facts §1.11.6, §7.3.1. */
export function profileOfServiceAccount({ namespace, name, labels }: NamedFacts): Converted<"Profile"> {
  const metadata = { name: `${SERVICE_ACCOUNT_PROFILE}${namespace}.${name}` };
  return { kind: "wanted", object: { kind: "Profile", metadata, spec: { labelsToApply: prefixed("pcsa.", labels, name) } }, problems: [] };
}

function prefixed(prefix: string, labels: Labels, name: string): Labels {
  const own = Object.fromEntries(Object.entries(labels).map(([k, v]) => [prefix + k, v]));
  return { ...own, [`${prefix}projectcalico.org/name`]: name };
}
