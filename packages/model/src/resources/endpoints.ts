/** Endpoints, network sets and nodes. Source: calico libcalico-go/lib/apis/internalapi (workloadendpoint.go, node.go); api v3 (hostendpoint.go, networkset.go). */
import { z } from "zod";
import { object, once, resource, resourceWithStatus } from "./base.ts";
import { protocol } from "./protoport.ts";
import { asNumber, dscp, hostNet, interfaceAddress, interfaceName, ip, ipv4, ipv6, looseNet } from "./values.ts";
import type { DeepReadonly } from "./base.ts";

const portNumber = once(() => z.number().int().min(1).max(65535));
const mac = once(() => z.string().regex(/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/, "must be a MAC address"));

const QOS_LIMITS = ["Bandwidth", "Burst", "Peakrate", "Minburst", "PacketRate", "PacketBurst", "MaxConnections"] as const;
type QosLimit = `${"ingress" | "egress"}${(typeof QOS_LIMITS)[number]}`;

/** Traffic limits: bits, packets and connections, per second where a rate. */
const qosControls = once(() => {
  const names = (["ingress", "egress"] as const).flatMap((direction) => QOS_LIMITS.map((limit): QosLimit => `${direction}${limit}`));
  const limit = z.number().int().min(0).optional();
  const limits = Object.fromEntries(names.map((name) => [name, limit])) as Record<QosLimit, typeof limit>;
  return object({ ...limits, dscp: dscp.optional() });
});

const workloadPort = once(() =>
  object({
    name: z.string().optional(),
    protocol,
    port: portNumber(),
    hostPort: z.number().int().min(0).max(65535).optional(),
    hostIP: z.string().optional(),
  }),
);

export const workloadEndpointSchema = once(() =>
  resource(
    "WorkloadEndpoint",
    object({
      orchestrator: z.string().optional(),
      workload: z.string().optional(),
      node: z.string().min(1, "field is required"),
      containerID: z.string().optional(),
      pod: z.string().optional(),
      endpoint: z.string().optional(),
      serviceAccountName: z.string().optional(),
      ipNetworks: z.array(hostNet).optional(),
      ipNATs: z.array(object({ internalIP: ip, externalIP: ip })).optional(),
      ipv4Gateway: ipv4.optional(),
      ipv6Gateway: ipv6.optional(),
      profiles: z.array(z.string()).optional(),
      interfaceName: interfaceName.optional(),
      mac: mac().optional(),
      ports: z.array(workloadPort()).optional(),
      allowSpoofedSourcePrefixes: z.array(looseNet).optional(),
      qosControls: qosControls().optional(),
    }),
  ),
);

export const hostEndpointSchema = once(() =>
  resource(
    "HostEndpoint",
    object({
      node: z.string().min(1, "field is required"),
      interfaceName: z.union([z.literal("*"), interfaceName]).optional(),
      expectedIPs: z.array(ip).optional(),
      profiles: z.array(z.string()).optional(),
      ports: z.array(object({ name: z.string().min(1), protocol, port: portNumber() })).optional(),
    }).refine((spec) => (spec.interfaceName ?? "") !== "" || (spec.expectedIPs?.length ?? 0) > 0, {
      error: "must have an interfaceName or expectedIPs",
    }),
  ),
);

const netsSpec = once(() => object({ nets: z.array(looseNet).optional() }).prefault({}));
export const networkSetSchema = once(() => resource("NetworkSet", netsSpec()));
export const globalNetworkSetSchema = once(() => resource("GlobalNetworkSet", netsSpec()));

const nodeBgp = once(() =>
  object({
    asNumber: asNumber.optional(),
    ipv4Address: interfaceAddress.optional(),
    ipv6Address: interfaceAddress.optional(),
    ipv4IPIPTunnelAddr: ipv4.optional(),
    routeReflectorClusterID: ipv4.optional(),
  }).refine((bgp) => Object.values(bgp).some((value) => value !== undefined), { error: "must not be empty" }),
);

export const nodeSchema = once(() =>
  resourceWithStatus(
    "Node",
    object({
      bgp: nodeBgp().optional(),
      ipv4VXLANTunnelAddr: ipv4.optional(),
      vxlanTunnelMACAddr: mac().optional(),
      ipv6VXLANTunnelAddr: ipv6.optional(),
      vxlanTunnelMACAddrV6: mac().optional(),
      orchRefs: z.array(object({ nodeName: z.string().optional(), orchestrator: z.string() })).optional(),
      wireguard: object({ interfaceIPv4Address: ipv4.optional(), interfaceIPv6Address: ipv6.optional() }).optional(),
      addresses: z.array(object({ address: interfaceAddress, type: z.string().optional() })).optional(),
      interfaces: z.array(object({ name: z.string(), addresses: z.array(z.string()).optional() })).optional(),
    }).prefault({}),
    object({
      wireguardPublicKey: z.string().optional(),
      wireguardPublicKeyV6: z.string().optional(),
      podCIDRs: z.array(z.string()).optional(),
    }),
  ),
);

export type WorkloadEndpointSpec = DeepReadonly<z.output<ReturnType<typeof workloadEndpointSchema>>["spec"]>;
export type NodeSpec = DeepReadonly<z.output<ReturnType<typeof nodeSchema>>["spec"]>;
