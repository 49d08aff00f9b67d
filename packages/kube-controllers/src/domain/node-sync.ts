/** A Kubernetes node's labels on its Calico node, and the end of that one with it. Source: facts §7.6.1, §7.6.2. */
import type { Node } from "@calico/model";
import { isMap, type Labels, type NamedFacts } from "./facts.ts";
import { sameLabels } from "./pod-labels.ts";

/** Which labels we put there, as JSON; so that those which a person added survive. */
export const KUBE_LABELS = "projectcalico.org/kube-labels";

export type NodePlan = { readonly do: "update"; readonly node: Node } | { readonly do: "delete" } | { readonly do: "nothing" };

/** The Kubernetes node that a Calico node stands for; `undefined` for one that is not Kubernetes'. */
export function kubeNodeOf(node: Node): string | undefined {
  return node.spec.orchRefs?.find((ref) => ref.orchestrator === "k8s")?.nodeName;
}

export interface NodeEvidence {
  /** What the API server holds; `undefined` when it surely holds none. */
  readonly kube: NamedFacts | undefined;
  /** We saw the Kubernetes node go, as opposed to never having seen it. */
  readonly wentAway: boolean;
  readonly nowMs: number;
}

/** A Calico node may be there before its kubelet has registered: one that was never seen in Kubernetes is left alone for so long. */
const YOUNG_MS = 300_000;

export function planNode(node: Node, { kube, wentAway, nowMs }: NodeEvidence): NodePlan {
  if (kubeNodeOf(node) === undefined) return { do: "nothing" };
  if (kube === undefined) {
    const young = nowMs - Date.parse(node.metadata.creationTimestamp ?? "") < YOUNG_MS;
    return { do: young && !wentAway ? "nothing" : "delete" };
  }
  const before = parseTracked(node.metadata.annotations?.[KUBE_LABELS]);
  const kept = Object.entries(node.metadata.labels ?? {}).filter(([k]) => before[k] === undefined || kube.labels[k] !== undefined);
  const labels = { ...Object.fromEntries(kept), ...kube.labels };
  const tracked = JSON.stringify(Object.fromEntries(Object.entries(kube.labels).toSorted(([a], [b]) => (a < b ? -1 : 1))));
  if (sameLabels(node.metadata.labels ?? {}, labels) && node.metadata.annotations?.[KUBE_LABELS] === tracked) return { do: "nothing" };
  return {
    do: "update",
    node: { ...node, metadata: { ...node.metadata, labels, annotations: { ...node.metadata.annotations, [KUBE_LABELS]: tracked } } },
  };
}

/** An annotation that is not ours to read counts as none: then nothing is taken away. */
function parseTracked(text: string | undefined): Labels {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return isMap(value) ? (value as Labels) : {};
  } catch {
    return {};
  }
}
