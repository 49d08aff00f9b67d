/** Kubernetes objects → the few facts that we use of each. What does not fit is a reason in words, never a crash: any API server may send anything. */
import type { KubeObject } from "@calico/kube-client";
import { err, ok, type Result } from "@calico/model";

export type Labels = Readonly<Record<string, string>>;

export interface NamedFacts {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
}

export interface NodeFacts extends NamedFacts {
  /** What Kubernetes gave the node for its pods, at most one of each family. */
  readonly podCidrs: readonly string[];
}

export interface PodFacts extends NamedFacts {
  readonly serviceAccount: string;
}

/** For kinds whose content is converted later: the object as it came, without what only the API server needs. */
export interface RawFacts extends NamedFacts {
  readonly annotations: Labels;
  readonly body: Readonly<Record<string, unknown>>;
}

export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function mapOf(value: unknown): Readonly<Record<string, unknown>> {
  return isMap(value) ? value : {};
}

/** Items of a list; an absent list is empty; anything else is an error. */
export function listOf(value: unknown, field: string): Result<readonly unknown[], string> {
  if (value === undefined || value === null) return ok([]);
  return Array.isArray(value) ? ok(value) : err(`${field}: expected a list`);
}

export function namedFacts(object: KubeObject): NamedFacts {
  const { name, namespace = "", labels = {} } = object.metadata;
  return { name, namespace, labels };
}

export function nodeFacts(object: KubeObject): NodeFacts {
  const { podCIDR, podCIDRs } = mapOf(object["spec"]);
  const listed = Array.isArray(podCIDRs) ? podCIDRs : [podCIDR];
  return { ...namedFacts(object), podCidrs: listed.filter((cidr) => typeof cidr === "string" && cidr !== "") };
}

export function podFacts(object: KubeObject): PodFacts {
  const account = mapOf(object["spec"])["serviceAccountName"];
  return { ...namedFacts(object), serviceAccount: typeof account === "string" ? account : "" };
}

export function rawFacts(object: KubeObject): RawFacts {
  const { apiVersion: _v, kind: _k, metadata: _m, status: _s, ...body } = object;
  return { ...namedFacts(object), annotations: object.metadata.annotations ?? {}, body };
}
