/**
 * What the endpoint of a pod takes from the pod. Source: calico libcalico-go/lib/backend/k8s/conversion (workload_endpoint_default.go).
 */
import { z } from "zod";

export type PodPort = {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly hostPort?: number;
  readonly hostIP?: string;
};

export type PodFacts = {
  readonly labels: Readonly<Record<string, string>>;
  readonly generateName: string | undefined;
  readonly serviceAccount: string | undefined;
  readonly ports: readonly PodPort[];
  readonly annotations: Readonly<Record<string, string>>;
  /** The VirtualMachineInstance that controls the pod. */
  readonly vmi?: { readonly name: string; readonly uid: string };
};

export type NamespaceFacts = {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
};

const portSchema = z.object({
  name: z.string().optional(),
  protocol: z.string().optional(),
  containerPort: z.number(),
  hostPort: z.number().optional(),
  hostIP: z.string().optional(),
});
const containerSchema = z.object({ ports: z.array(portSchema).nullish() });
const ownerSchema = z.object({
  apiVersion: z.string(),
  kind: z.string(),
  name: z.string(),
  uid: z.string(),
  controller: z.boolean().optional(),
});
const podSchema = z.object({
  metadata: z.object({
    labels: z.record(z.string(), z.string()).nullish(),
    annotations: z.record(z.string(), z.string()).nullish(),
    generateName: z.string().optional(),
    ownerReferences: z.array(ownerSchema).nullish(),
  }),
  spec: z
    .object({
      serviceAccountName: z.string().optional(),
      containers: z.array(containerSchema).nullish(),
      initContainers: z.array(containerSchema).nullish(),
    })
    .nullish(),
});

/** The facts of a Pod object; throws if it is none. Only ports with a name or a host port count. */
export function podFacts(json: unknown): PodFacts {
  const { metadata, spec } = podSchema.parse(json);
  const vmi = ownerOf(metadata.ownerReferences, "VirtualMachineInstance");
  const ports = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].flatMap((c) => c.ports ?? []);
  return {
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    generateName: metadata.generateName,
    serviceAccount: spec?.serviceAccountName,
    ...(vmi?.controller === true ? { vmi: { name: vmi.name, uid: vmi.uid } } : {}),
    ports: ports
      .filter((p) => p.name !== undefined || (p.hostPort ?? 0) > 0)
      .map((p) => ({
        name: p.name ?? "",
        protocol: p.protocol ?? "TCP",
        port: p.containerPort,
        ...((p.hostPort ?? 0) > 0 ? { hostPort: p.hostPort } : {}),
        ...(p.hostIP ? { hostIP: p.hostIP } : {}),
      })),
  };
}

type OwnerReference = z.output<typeof ownerSchema>;

function ownerOf(references: readonly OwnerReference[] | null | undefined, kind: string): OwnerReference | undefined {
  return references?.find((o) => o.kind === kind && o.apiVersion.split("/")[0] === "kubevirt.io");
}

const vmiSchema = z.object({
  metadata: z.object({ uid: z.string(), deletionTimestamp: z.string().nullish(), ownerReferences: z.array(ownerSchema).nullish() }),
});

/** A virtual machine that runs, and the VirtualMachine that it is of, if it is of one. */
export type VmiFacts = {
  readonly uid: string;
  readonly isDeleting: boolean;
  readonly vm: { readonly name: string; readonly uid: string } | undefined;
};

/** The facts of a VirtualMachineInstance; throws if it is none. */
export function vmiFacts(json: unknown): VmiFacts {
  const { metadata } = vmiSchema.parse(json);
  const vm = ownerOf(metadata.ownerReferences, "VirtualMachine");
  return { uid: metadata.uid, isDeleting: metadata.deletionTimestamp != null, vm: vm && { name: vm.name, uid: vm.uid } };
}

const nodeSchema = z.object({
  spec: z.object({ podCIDR: z.string().optional(), podCIDRs: z.array(z.string()).nullish() }).nullish(),
});

/** The ranges of a Node object, of either form. */
export function podCidrs(json: unknown): readonly string[] {
  const { spec } = nodeSchema.parse(json);
  return spec?.podCIDRs ?? (spec?.podCIDR ? [spec.podCIDR] : []);
}

/** A pod with its addresses, as the API server has it. One that is over, or is being ended, may have its address no more. */
export type PodOnNode = { readonly namespace: string; readonly name: string; readonly ips: readonly string[]; readonly isOver: boolean };

const placedSchema = z.object({
  metadata: z.object({ name: z.string(), namespace: z.string(), deletionTimestamp: z.string().nullish() }),
  status: z
    .object({
      phase: z.string().optional(),
      podIP: z.string().optional(),
      podIPs: z.array(z.object({ ip: z.string().optional() })).nullish(),
    })
    .nullish(),
});

/** The place of a Pod object; undefined if it has no address. */
export function podOnNode(json: unknown): PodOnNode | undefined {
  const { metadata, status } = placedSchema.parse(json);
  const ips = [status?.podIP, ...(status?.podIPs ?? []).map(({ ip }) => ip)].flatMap((ip) => (ip ? [ip] : []));
  const isOver = metadata.deletionTimestamp != null || status?.phase === "Succeeded" || status?.phase === "Failed";
  return ips.length === 0 ? undefined : { namespace: metadata.namespace, name: metadata.name, ips: [...new Set(ips)], isOver };
}
