/** Endpoints, network sets and nodes. Source: calico libcalico-go/lib/apis/internalapi (workloadendpoint.go, node.go); api v3 (hostendpoint.go, networkset.go). */
import { z } from "zod";
import { object, resource, resourceWithStatus } from "./base.ts";
import { protocol } from "./protoport.ts";
import { asNumber, hostNet, interfaceAddress, interfaceName, ip, ipv4, ipv6, looseNet } from "./values.ts";
import type { DeepReadonly } from "./base.ts";

const portNumber = z.number().int().min(1).max(65535);
const mac = z.string().regex(/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/, "must be a MAC address");

const workloadPort = object({
  name: z.string().optional(),
  protocol,
  port: portNumber,
  hostPort: z.number().int().min(0).max(65535).optional(),
  hostIP: z.string().optional(),
});

export const workloadEndpointSchema = resource(
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
    mac: mac.optional(),
    ports: z.array(workloadPort).optional(),
    allowSpoofedSourcePrefixes: z.array(looseNet).optional(),
    qosControls: z.record(z.string(), z.unknown()).optional(),
  }),
);

export const hostEndpointSchema = resource(
  "HostEndpoint",
  object({
    node: z.string().min(1, "field is required"),
    interfaceName: z.union([z.literal("*"), interfaceName]).optional(),
    expectedIPs: z.array(ip).optional(),
    profiles: z.array(z.string()).optional(),
    ports: z.array(object({ name: z.string().min(1), protocol, port: portNumber })).optional(),
  }).refine((spec) => (spec.interfaceName ?? "") !== "" || (spec.expectedIPs?.length ?? 0) > 0, {
    error: "must have an interfaceName or expectedIPs",
  }),
);

const netsSpec = object({ nets: z.array(looseNet).optional() }).prefault({});
export const networkSetSchema = resource("NetworkSet", netsSpec);
export const globalNetworkSetSchema = resource("GlobalNetworkSet", netsSpec);

const nodeBgp = object({
  asNumber: asNumber.optional(),
  ipv4Address: interfaceAddress.optional(),
  ipv6Address: interfaceAddress.optional(),
  ipv4IPIPTunnelAddr: ipv4.optional(),
  routeReflectorClusterID: ipv4.optional(),
}).refine((bgp) => Object.values(bgp).some((value) => value !== undefined), { error: "must not be empty" });

export const nodeSchema = resourceWithStatus(
  "Node",
  object({
    bgp: nodeBgp.optional(),
    ipv4VXLANTunnelAddr: ipv4.optional(),
    vxlanTunnelMACAddr: mac.optional(),
    ipv6VXLANTunnelAddr: ipv6.optional(),
    vxlanTunnelMACAddrV6: mac.optional(),
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
);

export type WorkloadEndpointSpec = DeepReadonly<z.output<typeof workloadEndpointSchema>["spec"]>;
export type NodeSpec = DeepReadonly<z.output<typeof nodeSchema>["spec"]>;
