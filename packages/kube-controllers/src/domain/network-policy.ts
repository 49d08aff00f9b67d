/**
 * Kubernetes NetworkPolicy → Calico NetworkPolicy. A rule that cannot be converted is left out and named; leaving out an Allow rule
 * closes, so the rest is still safe to write.
 *
 * Source: calico libcalico-go/lib/backend/k8s/conversion (K8sNetworkPolicyToCalico); facts §1.11.1–1.11.4, §7.4.
 */
import { API_VERSION, err, ok, parseResource, type Result } from "@calico/model";
import type { Converted } from "./converted.ts";
import { isMap, listOf, mapOf, type RawFacts } from "./facts.ts";
import { convertPeer, type PeerFields } from "./policy-peer.ts";
import { convertPorts, type ProtocolPorts } from "./policy-ports.ts";
import { convertSelector } from "./policy-selector.ts";

export const POLICY_PREFIX = "knp.default.";
const ORDER = 1000;
/** Calico takes so many ports per rule; more go into further rules. */
const MAX_PORTS = 50;

type Direction = "ingress" | "egress";
type CalicoRule = Readonly<Record<string, unknown>>;

export function convertNetworkPolicy(facts: RawFacts): Converted<"NetworkPolicy"> {
  const spec = mapOf(facts.body["spec"]);
  const selector = convertSelector(spec["podSelector"], "pods", "spec.podSelector");
  if (!selector.ok) return { kind: "refused", problems: [selector.error] };
  const ingress = convertRules(spec, "ingress");
  const egress = convertRules(spec, "egress");
  const object = {
    kind: "NetworkPolicy" as const,
    metadata: { name: POLICY_PREFIX + facts.name, namespace: facts.namespace },
    spec: {
      order: ORDER,
      tier: "default",
      selector: selector.value,
      types: typesOf(spec["policyTypes"]),
      ...(ingress.rules.length === 0 ? {} : { ingress: ingress.rules }),
      ...(egress.rules.length === 0 ? {} : { egress: egress.rules }),
    },
  };
  return withoutInvalid(object, [...ingress.problems, ...egress.problems]);
}

/** None says Ingress. What is neither is left out: the API server has judged it. */
function typesOf(types: unknown): readonly ("Ingress" | "Egress")[] {
  const known = Array.isArray(types) ? (["Ingress", "Egress"] as const).filter((t) => types.includes(t)) : [];
  return known.length === 0 ? ["Ingress"] : known;
}

function convertRules(spec: Readonly<Record<string, unknown>>, direction: Direction): { rules: CalicoRule[]; problems: string[] } {
  const list = listOf(spec[direction], `spec.${direction}`);
  if (!list.ok) return { rules: [], problems: [list.error] };
  const rules: CalicoRule[] = [];
  const problems: string[] = [];
  for (const [i, rule] of list.value.entries()) {
    const converted = convertRule(rule, direction, `spec.${direction}[${i}]`);
    if (converted.ok) rules.push(...converted.value);
    else problems.push(converted.error);
  }
  return { rules, problems };
}

/** One Allow rule per protocol and peer, protocols in the order of their names. */
function convertRule(rule: unknown, direction: Direction, field: string): Result<readonly CalicoRule[], string> {
  if (!isMap(rule)) return err(`${field}: expected a rule`);
  const peersField = direction === "ingress" ? "from" : "to";
  const peerList = listOf(rule[peersField], `${field}.${peersField}`);
  if (!peerList.ok) return peerList;
  const portList = listOf(rule["ports"], `${field}.ports`);
  if (!portList.ok) return portList;
  const ports = convertPorts(portList.value, `${field}.ports`);
  if (!ports.ok) return ports;
  const peers: PeerFields[] = peerList.value.length === 0 ? [{}] : [];
  for (const [i, one] of peerList.value.entries()) {
    const peer = convertPeer(one, `${field}.${peersField}[${i}]`);
    if (!peer.ok) return peer;
    peers.push(peer.value);
  }
  const chunks: ProtocolPorts[] = ports.value.flatMap((one) =>
    one.ports === undefined ? [one] : inChunks(one.ports, MAX_PORTS).map((c) => ({ protocol: one.protocol, ports: c })),
  );
  return ok(chunks.flatMap((c) => peers.map((peer) => allow(direction, c.protocol, { peer, ports: c.ports }))));
}

function allow(
  direction: Direction,
  protocol: string | undefined,
  o: { peer: PeerFields; ports: readonly unknown[] | undefined },
): CalicoRule {
  const ports = o.ports === undefined ? {} : { ports: o.ports };
  const source = direction === "ingress" ? o.peer : {};
  const destination = direction === "ingress" ? ports : { ...o.peer, ...ports };
  return {
    action: "Allow",
    ...(protocol === undefined ? {} : { protocol }),
    ...(Object.keys(source).length === 0 ? {} : { source }),
    ...(Object.keys(destination).length === 0 ? {} : { destination }),
  };
}

function inChunks<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

type PolicyInput = Extract<Converted<"NetworkPolicy">, { kind: "wanted" }>["object"] & { readonly spec: Readonly<Record<string, unknown>> };

/** The model has the last word: rules that it refuses are left out, anything else that it refuses refuses the policy. */
function withoutInvalid(object: PolicyInput, problems: readonly string[]): Converted<"NetworkPolicy"> {
  const parsed = parseResource("NetworkPolicy", { apiVersion: API_VERSION, ...object });
  if (parsed.ok) return { kind: "wanted", object, problems };
  const found = parsed.error.map((e) => `${e.field}: ${e.reason}`);
  const bad = parsed.error.map((e) => /^spec\.(ingress|egress)\[(\d+)\]/.exec(e.field));
  if (bad.includes(null)) return { kind: "refused", problems: [...problems, ...found] };
  const drop = new Set(bad.map((m) => `${m?.[1]}/${m?.[2]}`));
  const kept = (direction: Direction) => {
    const rules = object.spec[direction];
    return Array.isArray(rules) ? { [direction]: rules.filter((_, i) => !drop.has(`${direction}/${i}`)) } : {};
  };
  return withoutInvalid({ ...object, spec: { ...object.spec, ...kept("ingress"), ...kept("egress") } }, [...problems, ...found]);
}
