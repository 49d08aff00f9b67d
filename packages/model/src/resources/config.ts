/** Cluster-wide settings. Known fields are typed, others pass through. Source: calico api v3 clusterinfo.go, felixconfig.go, kubecontrollersconfig.go. */
import { z } from "zod";
import { object, once, resource, resourceWithStatus } from "./base.ts";
import { cidr, duration, selectorText } from "./values.ts";

export const clusterInformationSchema = once(() =>
  resource(
    "ClusterInformation",
    object({
      clusterGUID: z.string().optional(),
      /** Comma-separated, such as `k8s,bgp`. */
      clusterType: z.string().optional(),
      calicoVersion: z.string().optional(),
      datastoreReady: z.boolean().optional(),
      variant: z.string().optional(),
    }).prefault({}),
  ),
);

/** Its two hundred other fields are held against validate/felix-fields.ts when they are written, and taken as they are when they are read. */
export const felixConfigurationSchema = once(() =>
  resource("FelixConfiguration", object({ nodeSelector: selectorText().optional() }).prefault({})),
);

const enabled = once(() => z.enum(["Enabled", "Disabled"]));

const reconciler = once(() => object({ reconcilerPeriod: duration.default("5m") }));

const hostEndpointTemplate = once(() =>
  object({
    generateName: z.string().optional(),
    interfaceCIDRs: z.array(cidr).optional(),
    interfacePattern: z.string().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
    nodeSelector: selectorText().optional(),
  }),
);

const nodeController = once(() =>
  object({
    reconcilerPeriod: duration.default("5m"),
    syncLabels: enabled().default("Enabled"),
    leakGracePeriod: duration.default("15m"),
    hostEndpoint: object({
      autoCreate: enabled().optional(),
      createDefaultHostEndpoint: enabled().optional(),
      templates: z.array(hostEndpointTemplate()).optional(),
    }).optional(),
  }),
);

export const kubeControllersConfigurationSchema = once(() =>
  resourceWithStatus(
    "KubeControllersConfiguration",
    object({
      logSeverityScreen: z.string().default("Info"),
      healthChecks: enabled().default("Enabled"),
      etcdV3CompactionPeriod: duration.default("10m"),
      prometheusMetricsPort: z.number().int().default(9094),
      debugProfilePort: z.number().int().optional(),
      controllers: object({
        node: nodeController().optional(),
        policy: reconciler().optional(),
        workloadEndpoint: reconciler().optional(),
        serviceAccount: reconciler().optional(),
        namespace: reconciler().optional(),
        loadBalancer: object({ assignIPs: z.enum(["AllServices", "RequestedServicesOnly"]).optional() }).optional(),
        migration: object({ policyNameMigrator: enabled().optional() }).optional(),
      }).optional(),
    }).prefault({}),
    object({ runningConfig: z.unknown().optional(), environmentVars: z.record(z.string(), z.string()).optional() }),
  ),
);
