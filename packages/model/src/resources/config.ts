/** Cluster-wide settings. Known fields are typed, others pass through. Source: calico api v3 clusterinfo.go, felixconfig.go, kubecontrollersconfig.go. */
import { z } from "zod";
import { object, resource, resourceWithStatus } from "./base.ts";
import { selectorText } from "./values.ts";

export const clusterInformationSchema = resource(
  "ClusterInformation",
  object({
    clusterGUID: z.string().optional(),
    /** Comma-separated, such as `k8s,bgp`. */
    clusterType: z.string().optional(),
    calicoVersion: z.string().optional(),
    datastoreReady: z.boolean().optional(),
    variant: z.string().optional(),
  }).prefault({}),
);

/** `free`: this kind has some two hundred fields; those that are not here pass through unchecked. */
export const felixConfigurationSchema = resource(
  "FelixConfiguration",
  object({
    nodeSelector: selectorText().optional(),
    interfacePrefix: z.string().optional(),
    logSeverityScreen: z.string().optional(),
    ipipEnabled: z.boolean().optional(),
    ipipMTU: z.number().int().optional(),
    vxlanEnabled: z.boolean().optional(),
    vxlanMTU: z.number().int().optional(),
    vxlanPort: z.number().int().optional(),
    vxlanVNI: z.number().int().optional(),
    iptablesBackend: z.string().optional(),
    iptablesMarkMask: z.number().int().optional(),
    iptablesRefreshInterval: z.string().optional(),
    routeRefreshInterval: z.string().optional(),
    defaultEndpointToHostAction: z.enum(["Drop", "Return", "Accept"]).optional(),
    chainInsertMode: z.enum(["Insert", "Append"]).optional(),
    iptablesFilterAllowAction: z.enum(["Accept", "Return"]).optional(),
    iptablesMangleAllowAction: z.enum(["Accept", "Return"]).optional(),
    natOutgoingAddress: z.string().optional(),
    natPortRange: z.union([z.string(), z.number()]).optional(),
    programClusterRoutes: z.string().optional(),
    reportingInterval: z.string().optional(),
    failsafeInboundHostPorts: z.array(z.unknown()).optional(),
    failsafeOutboundHostPorts: z.array(z.unknown()).optional(),
  }).prefault({}),
);

const reconciler = object({ reconcilerPeriod: z.string().default("5m") });

const nodeController = object({
  reconcilerPeriod: z.string().default("5m"),
  syncLabels: z.enum(["Enabled", "Disabled"]).default("Enabled"),
  leakGracePeriod: z.string().default("15m"),
  hostEndpoint: object({
    autoCreate: z.string().optional(),
    createDefaultHostEndpoint: z.string().optional(),
    templates: z.array(z.unknown()).optional(),
  }).optional(),
});

export const kubeControllersConfigurationSchema = resourceWithStatus(
  "KubeControllersConfiguration",
  object({
    logSeverityScreen: z.string().default("Info"),
    healthChecks: z.enum(["Enabled", "Disabled"]).default("Enabled"),
    etcdV3CompactionPeriod: z.string().default("10m"),
    prometheusMetricsPort: z.number().int().default(9094),
    debugProfilePort: z.number().int().optional(),
    controllers: object({
      node: nodeController.optional(),
      policy: reconciler.optional(),
      workloadEndpoint: reconciler.optional(),
      serviceAccount: reconciler.optional(),
      namespace: reconciler.optional(),
      loadBalancer: object({ assignIPs: z.enum(["AllServices", "RequestedServicesOnly"]).optional() }).optional(),
      migration: object({ policyNameMigrator: z.enum(["Enabled", "Disabled"]).optional() }).optional(),
    }).optional(),
  }).prefault({}),
  object({}),
);
