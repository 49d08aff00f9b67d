/** The WorkloadEndpoint that an ADD writes. Source: calico cni-plugin/pkg/k8s/k8s.go (CmdAddK8s). */
import type { ResourceInput } from "@calico/datastore";
import type { WorkloadEndpoint } from "@calico/model";
import { natsOf } from "./annotations.ts";
import type { Wishes } from "./annotations.ts";
import type { PodFacts } from "./pod.ts";
import type { QosControls } from "./qos.ts";
import type { Workload } from "./workload.ts";

/** Annotation of an endpoint: the networks that it is of, separated by commas, so that a network's GC takes its own alone. */
const NETWORKS = "cni.projectcalico.org/networks";

export type Wiring = { readonly mac: string; readonly addresses: readonly string[] };

export type EndpointFacts = {
  readonly network: string;
  readonly policyType: string;
  readonly pod: PodFacts | undefined;
  readonly wishes: Wishes;
  readonly qos: QosControls;
  readonly wiring: Wiring;
};

export function endpointOf(w: Workload, o: EndpointFacts): ResourceInput<"WorkloadEndpoint"> {
  const { pod, wiring, wishes, qos } = o;
  const account = pod?.serviceAccount;
  return {
    kind: "WorkloadEndpoint",
    metadata: {
      name: w.wepName,
      namespace: w.namespace,
      labels: {
        ...pod?.labels,
        "projectcalico.org/namespace": w.namespace,
        "projectcalico.org/orchestrator": w.orchestrator,
        ...(account ? { "projectcalico.org/serviceaccount": account } : {}),
      },
      annotations: { [NETWORKS]: o.network },
      ...(pod?.generateName ? { generateName: pod.generateName } : {}),
    },
    spec: {
      orchestrator: w.orchestrator,
      node: w.node,
      ...(w.pod === undefined ? { workload: w.containerId } : { pod: w.pod }),
      containerID: w.containerId,
      endpoint: w.endpoint,
      ...(account ? { serviceAccountName: account } : {}),
      ipNetworks: wiring.addresses,
      mac: wiring.mac,
      interfaceName: w.hostVeth,
      profiles: profilesOf(w, o),
      ...(pod === undefined || pod.ports.length === 0 ? {} : { ports: pod.ports }),
      ...(wishes.floatingIps.length === 0 ? {} : { ipNATs: natsOf(wishes.floatingIps, wiring.addresses) }),
      ...(wishes.allowedSourcePrefixes.length === 0 ? {} : { allowSpoofedSourcePrefixes: wishes.allowedSourcePrefixes }),
      ...(Object.keys(qos).length === 0 ? {} : { qosControls: qos }),
    },
  };
}

/** Undefined: nobody wrote it down, as before this annotation, or another's CNI plugin. */
export function networksOf({ metadata }: WorkloadEndpoint): readonly string[] | undefined {
  return metadata.annotations?.[NETWORKS]?.split(",").filter((name) => name !== "");
}

export function withNetworks(endpoint: WorkloadEndpoint, networks: readonly string[]): WorkloadEndpoint {
  const { metadata } = endpoint;
  return { ...endpoint, metadata: { ...metadata, annotations: { ...metadata.annotations, [NETWORKS]: networks.join(",") } } };
}

/** With policy k8s those of the namespace and the service account, else the network's. */
export function profilesOf(
  w: Workload,
  o: { readonly network: string; readonly policyType: string; readonly pod: PodFacts | undefined },
): readonly string[] {
  if (o.policyType !== "k8s") return [o.network];
  const account = o.pod?.serviceAccount;
  return [`kns.${w.namespace}`, ...(account ? [`ksa.${w.namespace}.${account}`] : [])];
}

/** The profile of a network that has no policy type: what made it works without anybody writing one. */
export function networkProfile(w: Workload, network: string): ResourceInput<"Profile"> {
  const spec =
    w.orchestrator === "k8s"
      ? { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] }
      : {
          ingress: [{ action: "Allow", source: { selector: `has(${network})` } }],
          egress: [{ action: "Allow" }],
          labelsToApply: { [network]: "" },
        };
  return { kind: "Profile", metadata: { name: network }, spec };
}
