/** Names, labels and annotations. Source: calico libcalico-go/lib/validator/v3 (validateObjectMeta); Kubernetes apimachinery util/validation. */
import { kindInfo } from "../kinds.ts";
import { dnsLabel, dnsSubdomain } from "../resources/values.ts";
import type { Kind } from "../kinds.ts";
import type { FieldError } from "../resources/base.ts";
import type { Metadata } from "../resources/schemas.ts";

const SUBDOMAIN = dnsSubdomain.source.slice(1, -1);
const LABEL = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?";
const POLICY_NAME = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})?|(?:knp|ossg)\\.default\\.${SUBDOMAIN})$`);
const GLOBAL_POLICY_NAME = new RegExp(`^(?:${LABEL}\\.)?${LABEL}$`);
const MAX_ANNOTATIONS = 262_144;

type NameRule = { readonly pattern: RegExp; readonly max: number; readonly reason: string };
const DEFAULT_NAME: NameRule = { pattern: dnsSubdomain, max: 253, reason: "must be a lower-case DNS name of at most 253 characters" };
const TIER_NAME: NameRule = { pattern: dnsLabel, max: 63, reason: "must be a lower-case DNS label of at most 63 characters, without dots" };
const NAMESPACED_POLICY: NameRule = { pattern: POLICY_NAME, max: 253, reason: "must be <name> or <tier>.<name>, lower-case DNS labels" };
const GLOBAL_POLICY: NameRule = { pattern: GLOBAL_POLICY_NAME, max: 253, reason: "must be <name> or <tier>.<name>, lower-case DNS labels" };

const NAME_RULES: Partial<Record<Kind, NameRule>> = {
  Tier: TIER_NAME,
  NetworkPolicy: NAMESPACED_POLICY,
  StagedNetworkPolicy: NAMESPACED_POLICY,
  GlobalNetworkPolicy: GLOBAL_POLICY,
  StagedGlobalNetworkPolicy: GLOBAL_POLICY,
};

const ONLY_DEFAULT: readonly Kind[] = ["ClusterInformation", "KubeControllersConfiguration", "IPAMConfiguration"];
const PER_NODE: readonly Kind[] = ["BGPConfiguration"];

/** What is wrong with an object's metadata. */
export function checkMetadata(kind: Kind, metadata: Metadata): FieldError[] {
  return [
    ...checkName(kind, metadata),
    ...checkNamespace(kind, metadata),
    ...checkLabels(kind, metadata.labels ?? {}),
    ...checkAnnotations(metadata.annotations ?? {}),
  ];
}

function checkName(kind: Kind, { name }: Metadata): FieldError[] {
  const bad = (reason: string): FieldError[] => [{ field: "metadata.name", value: name, reason }];
  const rule = NAME_RULES[kind] ?? DEFAULT_NAME;
  if (name.length > rule.max || !rule.pattern.test(name)) return bad(rule.reason);
  if (ONLY_DEFAULT.includes(kind) && name !== "default") return bad('must be "default"');
  if (PER_NODE.includes(kind) && name !== "default" && !name.startsWith("node.")) return bad('must be "default" or "node.<nodename>"');
  return [];
}

function checkNamespace(kind: Kind, { namespace }: Metadata): FieldError[] {
  const { namespaced } = kindInfo(kind);
  if (!namespaced)
    return namespace === undefined || namespace === ""
      ? []
      : [{ field: "metadata.namespace", value: namespace, reason: `${kind} is not namespaced` }];
  if (namespace === undefined || namespace === "")
    return [{ field: "metadata.namespace", value: namespace, reason: "namespace is not specified on namespaced resource" }];
  return dnsLabel.test(namespace) && namespace.length <= 63
    ? []
    : [{ field: "metadata.namespace", value: namespace, reason: "must be a lower-case DNS label of at most 63 characters" }];
}

function checkLabels(kind: Kind, labels: Readonly<Record<string, string>>): FieldError[] {
  const errors = Object.entries(labels).flatMap(([key, value]): FieldError[] => {
    if (!isQualifiedName(key))
      return [{ field: "metadata.labels", value: key, reason: "label key must be a qualified name such as example.com/name" }];
    return isLabelValue(value)
      ? []
      : [{ field: "metadata.labels", value, reason: `value of label ${key} must be at most 63 letters, digits, "-", "_" or "."` }];
  });
  if ((kind === "NetworkSet" || kind === "GlobalNetworkSet") && "projectcalico.org/namespace" in labels) {
    errors.push({ field: "metadata.labels", value: "projectcalico.org/namespace", reason: "label is not allowed on a network set" });
  }
  return errors;
}

function checkAnnotations(annotations: Readonly<Record<string, string>>): FieldError[] {
  const size = Object.entries(annotations).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  const errors = Object.keys(annotations).filter((key) => !isQualifiedName(key.toLowerCase()));
  return [
    ...errors.map((key) => ({
      field: "metadata.annotations",
      value: key,
      reason: "annotation key must be a qualified name such as example.com/name",
    })),
    ...(size > MAX_ANNOTATIONS
      ? [{ field: "metadata.annotations", value: size, reason: `must be at most ${MAX_ANNOTATIONS} bytes in total` }]
      : []),
  ];
}

const QUALIFIED_PART = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

function isQualifiedName(key: string): boolean {
  const slash = key.indexOf("/");
  if (slash < 0) return QUALIFIED_PART.test(key);
  const prefix = key.slice(0, slash);
  return prefix.length <= 253 && dnsSubdomain.test(prefix) && QUALIFIED_PART.test(key.slice(slash + 1));
}

function isLabelValue(value: string): boolean {
  return value === "" || QUALIFIED_PART.test(value);
}
