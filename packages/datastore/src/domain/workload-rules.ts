/** A workload endpoint's name is its identity, computed from its spec, which so cannot change. Source: facts §2.4.4, §1.7.5 (libcalico-go/lib/clientv3/workloadendpoint.go). */
import { type FieldError, NAMESPACE_LABEL, ORCHESTRATOR_LABEL, wepName, type WorkloadEndpoint } from "@calico/model";

export function workloadFaults({ metadata, spec }: WorkloadEndpoint): FieldError[] {
  const { node, orchestrator = "", pod, workload, containerID, endpoint = "" } = spec;
  const bad = (reason: string): FieldError[] => [{ field: "Metadata.Name", value: metadata.name, reason }];
  let expected: string;
  try {
    const ids = { ...(pod && { pod }), ...(workload && { workload }), ...(containerID && { containerId: containerID }) };
    expected = wepName({ node, orchestrator, endpoint, ...ids });
  } catch (error) {
    return bad(error instanceof Error ? error.message : String(error));
  }
  if (expected === metadata.name) return [];
  return bad(
    `the WorkloadEndpoint name does not match the primary identifiers assigned in the WorkloadEndpoint: expected name ${expected}`,
  );
}

/** Labels that every workload endpoint has, whatever was written. */
export function workloadLabels({ metadata, spec }: WorkloadEndpoint): Readonly<Record<string, string>> {
  return { ...metadata.labels, [NAMESPACE_LABEL]: metadata.namespace ?? "", [ORCHESTRATOR_LABEL]: spec.orchestrator ?? "" };
}
