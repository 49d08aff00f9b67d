/**
 * Which Kubernetes cluster the datastore is written from: the uid of its namespace kube-system, recorded on ClusterInformation. An
 * API server that was set up anew, or is another cluster's, has another one; to mirror it would remove every policy and profile.
 *
 * Deviation: Calico mirrors whatever it is pointed at.
 */

/** The annotation of ClusterInformation `default`. */
export const KUBERNETES_UID = "projectcalico.org/kube-system-uid";

export type Same =
  | { readonly kind: "same" }
  /** Nothing is recorded yet, or the operator said so: it is to be recorded. */
  | { readonly kind: "adopted" }
  | { readonly kind: "other"; readonly reason: string };

export function compareKubernetes(o: {
  readonly found: string;
  readonly recorded: string | undefined;
  /** The uid that the operator gave with --adopt-kubernetes. */
  readonly adopt: string | undefined;
}): Same {
  if (o.found === o.recorded) return { kind: "same" };
  if (o.recorded === undefined || o.found === o.adopt) return { kind: "adopted" };
  const reason =
    `Cannot follow the Kubernetes API: it is another cluster's (kube-system is ${o.found}), the datastore was written from ${o.recorded}; ` +
    `correct --kubeconfig, or, if this one is meant, start once with --adopt-kubernetes ${o.found}`;
  return { kind: "other", reason };
}
