import { type ApiObject, at, textAt } from "./api-object.ts";

export interface DeletePlan {
  /** Remove now, or write `next` (marked as being deleted) and wait for whoever must finish. */
  readonly do: "remove" | "mark" | "nothing";
  readonly next?: ApiObject;
}

/**
 * What a DELETE does. Pods wait for their kubelet, which deletes again with grace 0; namespaces for their contents; anything for its finalizers.
 *
 * Source: Kubernetes documentation, "Pod termination", "Finalizers"; pkg/registry/core/pod/strategy.go (CheckGracefulDelete).
 */
export function planDelete(object: ApiObject, options: { readonly graceSec: number | undefined; readonly nowMs: number }): DeletePlan {
  const graceSec = object.kind === "Pod" ? podGrace(object, options.graceSec) : 0;
  const waits = graceSec > 0 || (object.metadata.finalizers ?? []).length > 0 || namespaceHolds(object);
  if (!waits) return { do: "remove" };
  const { deletionTimestamp, deletionGracePeriodSeconds } = object.metadata;
  const shorter = deletionGracePeriodSeconds !== undefined && graceSec < deletionGracePeriodSeconds;
  if (deletionTimestamp !== undefined && !shorter) return { do: "nothing" };
  const due = new Date(options.nowMs + graceSec * 1000).toISOString().replace(/\.\d+Z$/, "Z");
  const metadata = { ...object.metadata, deletionTimestamp: due, deletionGracePeriodSeconds: graceSec };
  const status = object.kind === "Namespace" ? { status: { phase: "Terminating" } } : {};
  return { do: "mark", next: { ...object, ...status, metadata } };
}

/** Whether an object that is being deleted has nothing left to wait for, after an update. */
export function isReleased(object: ApiObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = object.metadata;
  return deletionTimestamp !== undefined && finalizers.length === 0 && deletionGracePeriodSeconds === 0 && !namespaceHolds(object);
}

function podGrace(pod: ApiObject, asked: number | undefined): number {
  const spec = at(pod, "spec.terminationGracePeriodSeconds");
  const phase = textAt(pod, "status.phase");
  if (textAt(pod, "spec.nodeName") === "" || phase === "Succeeded" || phase === "Failed") return 0;
  return Math.max(0, asked ?? (typeof spec === "number" ? spec : 30));
}

function namespaceHolds(object: ApiObject): boolean {
  const finalizers = at(object, "spec.finalizers");
  return object.kind === "Namespace" && Array.isArray(finalizers) && finalizers.length > 0;
}
