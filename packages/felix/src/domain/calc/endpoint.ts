/**
 * A workload endpoint as felix needs it.
 *
 * Source: Calico libcalico-go/lib/backend/syncersv1/updateprocessors/workloadendpointprocessor.go; facts 1.7.5, 2.5.10.
 */
import type { WorkloadEndpoint } from "@calico/model";
import type { LocalWorkload } from "../program.ts";
import type { Labels } from "./label-index.ts";

export type EndpointPort = { readonly name: string; readonly protocol: string; readonly port: number };

export type Endpoint = {
  readonly key: string;
  readonly node: string;
  readonly iface: string | undefined;
  readonly mac: string | undefined;
  readonly addresses: readonly string[];
  readonly ports: readonly EndpointPort[];
  readonly labels: Labels;
  readonly profiles: readonly string[];
  readonly spoofPrefixes: readonly string[];
  /** Made when it is asked for: only this node's endpoints have a ready file. */
  readonly status: () => LocalWorkload["status"];
};

export function endpointOf(wep: WorkloadEndpoint, revision: number): Endpoint {
  const { metadata, spec } = wep;
  const namespace = metadata.namespace ?? "";
  return {
    key: `${namespace}/${metadata.name}`,
    node: spec.node,
    iface: spec.interfaceName,
    mac: spec.mac?.toLowerCase(),
    addresses: (spec.ipNetworks ?? []).map((net) => (net.includes("/") ? net : `${net}/${net.includes(":") ? 128 : 32}`)),
    ports: (spec.ports ?? []).flatMap(({ name, protocol, port }) => (name ? [{ name, protocol: protocolName(protocol), port }] : [])),
    labels: labelsOf(wep, namespace),
    profiles: spec.profiles ?? [],
    spoofPrefixes: spec.allowSpoofedSourcePrefixes ?? [],
    status: () => statusOf(wep, namespace, revision),
  };
}

function protocolName(protocol: string | number): string {
  const byNumber: Readonly<Record<number, string>> = { 6: "tcp", 17: "udp", 132: "sctp" };
  return typeof protocol === "number" ? (byNumber[protocol] ?? `${protocol}`) : protocol.toLowerCase();
}

/** Labels with the profile's prefixes are the profiles' to give; where a workload is, its place says, not its labels. */
function labelsOf({ metadata, spec }: WorkloadEndpoint, namespace: string): Labels {
  const own = Object.entries(metadata.labels ?? {}).filter(([key]) => !key.startsWith("pcns.") && !key.startsWith("pcsa."));
  return {
    ...Object.fromEntries(own),
    "projectcalico.org/namespace": namespace,
    ...(spec.orchestrator ? { "projectcalico.org/orchestrator": spec.orchestrator } : {}),
    ...(spec.serviceAccountName ? { "projectcalico.org/serviceaccount": spec.serviceAccountName } : {}),
  };
}

/** The file that tells CNI that this workload's policy and route are in the kernel. */
function statusOf({ spec, metadata }: WorkloadEndpoint, namespace: string, revision: number): LocalWorkload["status"] {
  const orchestrator = spec.orchestrator ?? "k8s";
  const named = spec.pod ?? spec.workload;
  const workload = named === undefined ? (spec.containerID ?? "") : `${namespace}/${named}`;
  const file = [orchestrator, workload, spec.endpoint ?? "eth0"].map(encodeURIComponent).join(" ");
  const ofFamily = (family: 4 | 6) => (spec.ipNetworks ?? []).filter((net) => net.includes(":") === (family === 6));
  const body = JSON.stringify({
    ifaceName: spec.interfaceName,
    mac: spec.mac,
    ipv4Nets: ofFamily(4),
    ipv6Nets: ofFamily(6),
    name: metadata.name,
    containerID: spec.containerID,
    revision,
  });
  return { file, body };
}
