/** A pod's labels and service account on its workload endpoint. Making and removing endpoints is the CNI plugin's. Source: facts §7.5.1, §1.7.5. */
import { parseWepName, type WorkloadEndpoint } from "@calico/model";
import type { PodFacts } from "./facts.ts";

const MAX_LABEL = 63;

/** The pod that an endpoint belongs to, `namespace/name`; `undefined` if it is no pod's. */
export function podOfEndpoint(namespace: string | undefined, name: string): string | undefined {
  const parts = parseWepName(name);
  if (!parts.ok || namespace === undefined || parts.value.orchestrator !== "k8s") return undefined;
  return `${namespace}/${parts.value.pod ?? ""}`;
}

/** The endpoint as it should be; `undefined` if it is so already, or its pod is not known. */
export function labelEndpoint(endpoint: WorkloadEndpoint, pod: PodFacts | undefined): WorkloadEndpoint | undefined {
  if (pod === undefined) return undefined;
  const account = pod.serviceAccount;
  const labels = {
    ...pod.labels,
    "projectcalico.org/namespace": pod.namespace,
    "projectcalico.org/orchestrator": "k8s",
    ...(account !== "" && account.length <= MAX_LABEL ? { "projectcalico.org/serviceaccount": account } : {}),
  };
  const same = sameLabels(endpoint.metadata.labels ?? {}, labels) && (endpoint.spec.serviceAccountName ?? "") === account;
  if (same) return undefined;
  const { serviceAccountName: _old, ...spec } = endpoint.spec;
  return {
    ...endpoint,
    metadata: { ...endpoint.metadata, labels },
    spec: { ...spec, ...(account === "" ? {} : { serviceAccountName: account }) } as WorkloadEndpoint["spec"],
  };
}

export function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((k) => a[k] === b[k]);
}
