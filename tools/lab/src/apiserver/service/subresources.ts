import { ApiError, badRequest, type Status, success } from "../domain/api-error.ts";
import { type ApiObject, at, isMap, mapsAt, textAt } from "../domain/api-object.ts";
import type { Place, Registry } from "./registry.ts";

/** Source: Kubernetes pkg/registry/core/pod/storage (BindingREST). */
export async function bind(
  registry: Registry,
  place: Place,
  { body, now }: { readonly body: unknown; readonly now: Date },
): Promise<Status> {
  const node = textAt(body, "target.name");
  if (node === "") throw badRequest("target.name is required");
  await registry.amend(place, (pod) => {
    const at = textAt(pod, "spec.nodeName");
    if (at !== "" && at !== node)
      throw new ApiError(
        409,
        "Conflict",
        `Operation cannot be fulfilled on pods/binding "${place.name}": pod ${place.name} is already assigned to node "${at}"`,
      );
    if (pod.metadata.deletionTimestamp !== undefined)
      throw new ApiError(409, "Conflict", `pod ${place.name} is being deleted, cannot be assigned to a host`);
    const scheduled = { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: now.toISOString() };
    const conditions = [...mapsAt(pod, "status.conditions").filter((c) => c["type"] !== "PodScheduled"), scheduled];
    const [spec, status] = [pod["spec"], pod["status"]];
    return { ...pod, spec: { ...(isMap(spec) ? spec : {}), nodeName: node }, status: { ...(isMap(status) ? status : {}), conditions } };
  });
  return { ...success({}), code: 201 };
}

/** Replace a namespace's finalizers; with none left, it goes. */
export function finalize(registry: Registry, place: Place, body: unknown): Promise<ApiObject> {
  const finalizers = at(body, "spec.finalizers");
  return registry.amend(place, (ns) => ({ ...ns, spec: { finalizers: Array.isArray(finalizers) ? finalizers : [] } }));
}
