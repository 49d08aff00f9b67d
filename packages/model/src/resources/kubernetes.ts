/** Services and endpoint slices as kube-controllers mirrors them for proxy-nat: what NAT needs, by Kubernetes' own field names. Source: Kubernetes API core/v1 Service, discovery.k8s.io/v1 EndpointSlice. */
import { z } from "zod";
import { metadataSchema, object, once, resource } from "./base.ts";

/** Source: Kubernetes apimachinery meta/v1 LabelSelector. */
export const labelSelector = once(() =>
  object({
    matchLabels: z.record(z.string(), z.string()).optional(),
    matchExpressions: z
      .array(
        object({ key: z.string(), operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist"]), values: z.array(z.string()).optional() }),
      )
      .optional(),
  }),
);

const servicePort = once(() =>
  object({
    name: z.string().optional(),
    protocol: z.enum(["TCP", "UDP", "SCTP"]).default("TCP"),
    port: z.number().int(),
    targetPort: z.union([z.number(), z.string()]).optional(),
    nodePort: z.number().int().optional(),
  }),
);

export const kubernetesServiceSchema = once(() =>
  resource(
    "KubernetesService",
    object({
      type: z.string().default("ClusterIP"),
      /** `None` for a headless service. */
      clusterIP: z.string().optional(),
      clusterIPs: z.array(z.string()).optional(),
      externalIPs: z.array(z.string()).optional(),
      loadBalancerIP: z.string().optional(),
      ports: z.array(servicePort()).default([]),
      sessionAffinity: z.string().default("None"),
      sessionAffinityConfig: object({ clientIP: object({ timeoutSeconds: z.number().int().optional() }).optional() }).optional(),
      externalTrafficPolicy: z.string().optional(),
      internalTrafficPolicy: z.string().optional(),
      publishNotReadyAddresses: z.boolean().optional(),
    }).prefault({}),
  ),
);

const sliceEndpoint = once(() =>
  object({
    addresses: z.array(z.string()),
    conditions: object({ ready: z.boolean().optional(), serving: z.boolean().optional(), terminating: z.boolean().optional() }).optional(),
    nodeName: z.string().optional(),
    targetRef: object({ kind: z.string().optional(), namespace: z.string().optional(), name: z.string().optional() }).optional(),
  }),
);

/** The slice's service is its label `kubernetes.io/service-name`. */
export const kubernetesEndpointSliceSchema = once(() =>
  object({
    kind: z.literal("KubernetesEndpointSlice"),
    apiVersion: z.string(),
    metadata: metadataSchema(),
    addressType: z.enum(["IPv4", "IPv6", "FQDN"]),
    endpoints: z.array(sliceEndpoint()).default([]),
    ports: z
      .array(
        object({ name: z.string().optional(), protocol: z.enum(["TCP", "UDP", "SCTP"]).default("TCP"), port: z.number().int().optional() }),
      )
      .default([]),
  }),
);

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
