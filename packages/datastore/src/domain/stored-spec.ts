/**
 * A spec as Calico's own JSON encoder writes it: what is empty is left out, and a rule always has both of its sides.
 *
 * Source: the `omitempty` tags of calico api/pkg/apis/projectcalico/v3; in Rule, source and destination are structs, which Go never omits.
 */
import type { ObjectKind } from "@calico/model";

type Json = Readonly<Record<string, unknown>>;

/** Booleans that are no pointers in Calico: false is the same as absent, and is not written. */
const FALSE_IS_ABSENT: Readonly<Partial<Record<ObjectKind, readonly string[]>>> = {
  IPPool: ["natOutgoing", "disabled", "disableBGPExport"],
  GlobalNetworkPolicy: ["doNotTrack", "preDNAT", "applyOnForward"],
  StagedGlobalNetworkPolicy: ["doNotTrack", "preDNAT", "applyOnForward"],
  BGPPeer: ["keepOriginalNextHop"],
};

const WITH_RULES: ReadonlySet<ObjectKind> = new Set([
  "NetworkPolicy",
  "GlobalNetworkPolicy",
  "StagedNetworkPolicy",
  "StagedGlobalNetworkPolicy",
  "Profile",
]);

/** Fields are pointers there: an empty list of failsafe ports is not the default one. The mirrored Kubernetes kinds are not Calico's. */
const AS_IS: ReadonlySet<ObjectKind> = new Set(["FelixConfiguration", "KubernetesService", "KubernetesEndpointSlice"]);

export function storedSpec(kind: ObjectKind, spec: unknown): unknown {
  if (AS_IS.has(kind) || !isObject(spec)) return spec;
  const hidden = FALSE_IS_ABSENT[kind] ?? [];
  const kept = Object.entries(spec).filter(([name, value]) => !(value === false && hidden.includes(name)));
  const trimmed = withoutEmpty(Object.fromEntries(kept)) as Json;
  return WITH_RULES.has(kind) ? { ...trimmed, ...bothSides(trimmed) } : trimmed;
}

function bothSides(spec: Json): Json {
  const sided = (rules: unknown) =>
    Array.isArray(rules)
      ? rules.map((rule: Json) => ({ ...rule, source: rule["source"] ?? {}, destination: rule["destination"] ?? {} }))
      : rules;
  return Object.fromEntries(
    (["ingress", "egress"] as const).flatMap((name) => (spec[name] === undefined ? [] : [[name, sided(spec[name])]])),
  );
}

/** Without empty texts and lists, at any depth; empty objects stay: a selector of everything is one. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (!isObject(value)) return value;
  const kept = Object.entries(value).filter(
    ([, field]) => field !== "" && field !== undefined && !(Array.isArray(field) && field.length === 0),
  );
  return Object.fromEntries(kept.map(([name, field]) => [name, withoutEmpty(field)]));
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
