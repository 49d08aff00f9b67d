/** The table of controllers: which Kubernetes kind becomes or touches which kind of the datastore, and under which names. */
import { RESOURCES } from "@calico/kube-client";
import type { ResourceRef } from "@calico/datastore";
import { type Node, parseResource } from "@calico/model";
import { namedFacts, nodeFacts, podFacts, rawFacts } from "./domain/facts.ts";
import { convertNetworkPolicy, POLICY_PREFIX } from "./domain/network-policy.ts";
import { kubeNodeOf, syncNode } from "./domain/node-sync.ts";
import { labelEndpoint, podOfEndpoint } from "./domain/pod-labels.ts";
import { NAMESPACE_PROFILE, profileOfNamespace, profileOfServiceAccount, SERVICE_ACCOUNT_PROFILE } from "./domain/profiles.ts";
import { mirrorEndpointSlice, mirrorService } from "./domain/service-mirror.ts";
import type { Controller, ControllerPorts } from "./ports.ts";
import { makeAttach } from "./service/attach.ts";
import { makeMirror } from "./service/mirror.ts";

type Name = { readonly namespace?: string | undefined; readonly name: string };
type Make = (ports: ControllerPorts) => Controller;

const afterPrefix = (text: string, prefix: string) => (text.startsWith(prefix) ? text.slice(prefix.length) : undefined);
const joined = ({ namespace, name }: Name) => `${namespace ?? ""}/${name}`;
/** Namespaces have no slash and no dot, so both separators are found from the left. */
const split = (key: string): { namespace: string; name: string } => ({
  namespace: key.slice(0, key.indexOf("/")),
  name: key.slice(key.indexOf("/") + 1),
});

const namespaces: Make = (ports) =>
  makeMirror(
    {
      name: "namespace",
      resource: RESOURCES.namespaces,
      project: namedFacts,
      convert: profileOfNamespace,
      kind: "Profile",
      keyOf: ({ name }) => afterPrefix(name, NAMESPACE_PROFILE),
      refOf: (key) => ({ kind: "Profile", name: NAMESPACE_PROFILE + key }),
    },
    ports,
  );

const serviceAccounts: Make = (ports) =>
  makeMirror(
    {
      name: "serviceaccount",
      resource: RESOURCES.serviceAccounts,
      project: namedFacts,
      convert: profileOfServiceAccount,
      kind: "Profile",
      keyOf: ({ name }) => afterPrefix(name, SERVICE_ACCOUNT_PROFILE)?.replace(".", "/"),
      refOf: (key) => ({ kind: "Profile", name: SERVICE_ACCOUNT_PROFILE + key.replace("/", ".") }),
    },
    ports,
  );

const policies: Make = (ports) =>
  makeMirror(
    {
      name: "policy",
      resource: RESOURCES.networkPolicies,
      project: rawFacts,
      convert: convertNetworkPolicy,
      kind: "NetworkPolicy",
      keyOf({ namespace, name }) {
        const own = afterPrefix(name, POLICY_PREFIX);
        return own === undefined ? undefined : joined({ namespace, name: own });
      },
      refOf: (key) => ({ kind: "NetworkPolicy", namespace: split(key).namespace, name: POLICY_PREFIX + split(key).name }),
    },
    ports,
  );

const services: Make = (ports) =>
  makeMirror(
    {
      name: "service",
      resource: RESOURCES.services,
      project: rawFacts,
      convert: mirrorService,
      kind: "KubernetesService",
      keyOf: joined,
      refOf: (key) => ({ kind: "KubernetesService", ...split(key) }),
    },
    ports,
  );

const endpointSlices: Make = (ports) =>
  makeMirror(
    {
      name: "endpointslice",
      resource: RESOURCES.endpointSlices,
      project: rawFacts,
      convert: mirrorEndpointSlice,
      kind: "KubernetesEndpointSlice",
      keyOf: joined,
      refOf: (key) => ({ kind: "KubernetesEndpointSlice", ...split(key) }),
    },
    ports,
  );

const pods: Make = (ports) =>
  makeAttach(
    {
      name: "workloadendpoint",
      resource: RESOURCES.pods,
      project: podFacts,
      kind: "WorkloadEndpoint",
      ownerOf: ({ namespace, name }) => podOfEndpoint(namespace, name),
      plan: labelEndpoint,
    },
    ports,
  );

const nodes: Make = (ports) =>
  makeAttach(
    {
      name: "node",
      resource: RESOURCES.nodes,
      project: nodeFacts,
      kind: "Node",
      ownerOf: (_ref: ResourceRef, value) => {
        const node = parseNode(value);
        return node === undefined ? undefined : kubeNodeOf(node);
      },
      plan: syncNode,
    },
    ports,
  );

/** A value that does not parse belongs to nobody; whoever wrote it is told by the syncer, which counts it. */
function parseNode(value: string): Node | undefined {
  try {
    const parsed = parseResource("Node", JSON.parse(value));
    return parsed.ok ? parsed.value : undefined;
  } catch {
    return undefined;
  }
}

/** Every controller of the process, in the order in which they are reported. */
export function makeControllers(ports: ControllerPorts): readonly Controller[] {
  return [namespaces, serviceAccounts, policies, pods, nodes, services, endpointSlices].map((make) => make(ports));
}
