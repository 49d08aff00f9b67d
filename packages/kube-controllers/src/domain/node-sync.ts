/** A Kubernetes node's labels and pod CIDRs on its Calico node. That one goes after its addresses: the garbage collector's work. Source: facts §7.6.2. */
import type { Node } from "@calico/model";
import { isMap, type Labels, type NodeFacts } from "./facts.ts";
import { sameLabels } from "./pod-labels.ts";

/** Which labels we put there, as JSON; so that those which a person added survive. */
export const KUBE_LABELS = "projectcalico.org/kube-labels";

/** The Kubernetes node that a Calico node stands for; `undefined` for one that is not Kubernetes'. */
export function kubeNodeOf(node: Node): string | undefined {
  return node.spec.orchRefs?.find((ref) => ref.orchestrator === "k8s")?.nodeName;
}

/** The Calico node as it is to be; `undefined` where nothing is to be written. */
export function syncNode(node: Node, kube: NodeFacts | undefined): Node | undefined {
  if (kubeNodeOf(node) === undefined || kube === undefined) return undefined;
  const before = parseTracked(node.metadata.annotations?.[KUBE_LABELS]);
  const kept = Object.entries(node.metadata.labels ?? {}).filter(([k]) => before[k] === undefined || kube.labels[k] !== undefined);
  const labels = { ...Object.fromEntries(kept), ...kube.labels };
  const tracked = JSON.stringify(Object.fromEntries(Object.entries(kube.labels).toSorted(([a], [b]) => (a < b ? -1 : 1))));
  const status = withPodCidrs(node.status, kube.podCidrs);
  const isSame = sameLabels(node.metadata.labels ?? {}, labels) && node.metadata.annotations?.[KUBE_LABELS] === tracked;
  if (isSame && status === node.status) return undefined;
  const metadata = { ...node.metadata, labels, annotations: { ...node.metadata.annotations, [KUBE_LABELS]: tracked } };
  return { ...node, metadata, ...(status === undefined ? {} : { status }) };
}

/** A tunnel's address comes from there with USE_POD_CIDR. Kubernetes never takes them back: none says nothing. */
function withPodCidrs(status: Node["status"], podCidrs: readonly string[]): Node["status"] {
  const isSame = podCidrs.length === 0 || podCidrs.join() === status?.podCIDRs?.join();
  return isSame ? status : { ...status, podCIDRs: [...podCidrs] };
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
