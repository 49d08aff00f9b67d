/** Builders for tests: small valid objects, parsed, with what the test cares about laid over. */
import { API_VERSION } from "./kinds.ts";
import { formatFieldErrors, parseResource } from "./resources/parse.ts";
import { vethName, wepName } from "./names.ts";
import type { IPPool, Node, ObjectKind, Resource, WorkloadEndpoint } from "./resources/schemas.ts";

type Meta = {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
};

/** Any object, from metadata and spec; throws with the fields that are wrong. */
export function anObject<K extends ObjectKind>(kind: K, metadata: Meta, spec: unknown = {}): Resource<K> {
  const parsed = parseResource(kind, { kind, apiVersion: API_VERSION, metadata, spec });
  if (!parsed.ok) throw new Error(`Cannot build ${kind} "${metadata.name}": ${formatFieldErrors(parsed.error)}`);
  return parsed.value;
}

/** A node with a BGP address. */
export function aNode(
  name: string,
  bgpAddress = "192.168.81.101/24",
  spec: object = {},
  labels: Readonly<Record<string, string>> = {},
): Node {
  return anObject(
    "Node",
    { name, labels },
    { bgp: { ipv4Address: bgpAddress }, orchRefs: [{ nodeName: name, orchestrator: "k8s" }], ...spec },
  );
}

/** An enabled pool without encapsulation. */
export function aPool(name: string, cidr: string, spec: object = {}): IPPool {
  return anObject("IPPool", { name }, { cidr, ...spec });
}

/** A pod's endpoint, named and labelled as Calico does. */
export function aWep(o: {
  readonly node: string;
  readonly pod: string;
  readonly namespace?: string;
  readonly ip: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: object;
}): WorkloadEndpoint {
  const namespace = o.namespace ?? "default";
  const labels = {
    ...o.labels,
    "projectcalico.org/namespace": namespace,
    "projectcalico.org/orchestrator": "k8s",
    "projectcalico.org/serviceaccount": "default",
  };
  return anObject(
    "WorkloadEndpoint",
    { name: wepName({ node: o.node, orchestrator: "k8s", pod: o.pod, endpoint: "eth0" }), namespace, labels },
    {
      orchestrator: "k8s",
      node: o.node,
      pod: o.pod,
      endpoint: "eth0",
      containerID: `container-of-${o.pod}`,
      serviceAccountName: "default",
      ipNetworks: [o.ip.includes("/") ? o.ip : `${o.ip}/${o.ip.includes(":") ? 128 : 32}`],
      profiles: [`kns.${namespace}`, `ksa.${namespace}.default`],
      interfaceName: vethName(namespace, o.pod),
      ...o.spec,
    },
  );
}

/** A NetworkPolicy, or a GlobalNetworkPolicy if the namespace is undefined. */
export function aPolicy(name: string, spec: object, namespace: string): Resource<"NetworkPolicy">;
export function aPolicy(name: string, spec: object, namespace: undefined): Resource<"GlobalNetworkPolicy">;
export function aPolicy(name: string, spec: object, namespace: string | undefined) {
  return namespace === undefined ? anObject("GlobalNetworkPolicy", { name }, spec) : anObject("NetworkPolicy", { name, namespace }, spec);
}

/** The profile of a namespace: allow all, with the namespace's labels. */
export function aNamespaceProfile(namespace: string, labels: Readonly<Record<string, string>> = {}): Resource<"Profile"> {
  const labelsToApply = Object.fromEntries(
    Object.entries({ ...labels, "projectcalico.org/name": namespace }).map(([key, value]) => [`pcns.${key}`, value]),
  );
  return anObject(
    "Profile",
    { name: `kns.${namespace}` },
    { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }], labelsToApply },
  );
}
