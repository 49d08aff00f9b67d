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
const podSchema = z.object({
  metadata: z.object({
    labels: z.record(z.string(), z.string()).nullish(),
    annotations: z.record(z.string(), z.string()).nullish(),
    generateName: z.string().optional(),
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
  const ports = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].flatMap((c) => c.ports ?? []);
  return {
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    generateName: metadata.generateName,
    serviceAccount: spec?.serviceAccountName,
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

const nodeSchema = z.object({
  spec: z.object({ podCIDR: z.string().optional(), podCIDRs: z.array(z.string()).nullish() }).nullish(),
});

/** The ranges of a Node object, of either form. */
export function podCidrs(json: unknown): readonly string[] {
  const { spec } = nodeSchema.parse(json);
  return spec?.podCIDRs ?? (spec?.podCIDR ? [spec.podCIDR] : []);
}
