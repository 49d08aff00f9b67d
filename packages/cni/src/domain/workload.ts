/**
 * Which workload a call is about, and the names that follow from it.
 *
 * Source: calico cni-plugin/internal/pkg/utils (GetIdentifiers), libcalico-go/lib/names.
 */
import { vethName, wepName } from "@calico/model";
import type { CniCall } from "./env.ts";

export type Workload = {
  readonly orchestrator: "k8s" | "cni";
  readonly node: string;
  readonly namespace: string;
  readonly pod: string | undefined;
  readonly containerId: string;
  readonly endpoint: string;
  readonly wepName: string;
  readonly hostVeth: string;
};

export function workloadOf(call: CniCall, node: string): Workload {
  const pod = call.args.get("K8S_POD_NAME");
  const namespace = call.args.get("K8S_POD_NAMESPACE");
  const { containerId, ifName: endpoint } = call;
  const hostVeth = hostVethOf(call);
  if (pod && namespace) {
    return {
      orchestrator: "k8s",
      node,
      namespace,
      pod,
      containerId,
      endpoint,
      hostVeth,
      wepName: wepName({ node, orchestrator: "k8s", pod, endpoint }),
    };
  }
  const name = wepName({ node, orchestrator: "cni", containerId, endpoint });
  return { orchestrator: "cni", node, namespace: "default", pod: undefined, containerId, endpoint, hostVeth, wepName: name };
}

/** The host's end of a call's pair; needs no node. */
export function hostVethOf(call: CniCall): string {
  const pod = call.args.get("K8S_POD_NAME");
  const namespace = call.args.get("K8S_POD_NAMESPACE");
  return pod && namespace ? vethName(namespace, pod, call.vethPrefix) : `cali${call.containerId.slice(0, 11)}`;
}

/** Whether a call is about that container or that device. */
export function isFor(call: CniCall, what: { readonly containerId?: string; readonly hostVeth?: string }): boolean {
  return what.containerId === call.containerId || what.hostVeth === hostVethOf(call);
}

/** IPAM's handle of a container. */
export function ipamHandle(network: string, containerId: string): string {
  return `${network}.${containerId}`;
}

/** The file that felix writes when the endpoint's policy is in the kernel. */
export function statusFileName(w: Workload): string {
  const workload = w.pod === undefined ? w.containerId : `${w.namespace}/${w.pod}`;
  return [w.orchestrator, workload, w.endpoint].map(encodeURIComponent).join(" ");
}
