/** BGP kinds. Cross-field checks are in validate/bgp.ts. Source: calico api v3 bgpconfig.go, bgppeer.go, bgpfilter.go. */
import { z } from "zod";
import { object, once, resource } from "./base.ts";
import { asNumber, cidr, duration, ip, ipv4, ipv6, selectorText } from "./values.ts";

/** 0 and 2^31-1 are the kernel's and BIRD's own. */
const MAX_PRIORITY = 2_147_483_646;

const secretKeyRef = once(() =>
  object({ secretKeyRef: object({ name: z.string(), key: z.string(), optional: z.boolean().optional() }).optional() }),
);
const cidrBlock = once(() => z.array(object({ cidr })));
const community = once(() => z.string().regex(/^(\d{1,5}:\d{1,5}|\d{1,10}:\d{1,10}:\d{1,10})$/, "must be a community aa:nn or aa:nn:mm"));

export const bgpConfigurationSchema = once(() =>
  resource(
    "BGPConfiguration",
    object({
      logSeverityScreen: z.string().default("Info"),
      nodeToNodeMeshEnabled: z.boolean().optional(),
      asNumber: asNumber.optional(),
      serviceLoadBalancerIPs: cidrBlock().optional(),
      serviceExternalIPs: cidrBlock().optional(),
      serviceClusterIPs: cidrBlock().optional(),
      serviceLoadBalancerAggregation: z.enum(["Enabled", "Disabled"]).default("Enabled"),
      communities: z.array(object({ name: z.string().optional(), value: community() })).optional(),
      prefixAdvertisements: z.array(object({ cidr, communities: z.array(z.string()).optional() })).optional(),
      listenPort: z.number().int().min(1).max(65535).optional(),
      nodeMeshPassword: secretKeyRef().optional(),
      nodeMeshMaxRestartTime: duration.optional(),
      bindMode: z.enum(["None", "NodeIP"]).optional(),
      ignoredInterfaces: z.array(z.string()).optional(),
      localWorkloadPeeringIPV4: ipv4.optional(),
      localWorkloadPeeringIPV6: ipv6.optional(),
      programClusterRoutes: z.enum(["Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly"]).optional(),
      ipv4NormalRoutePriority: z.number().int().min(1).max(MAX_PRIORITY).optional(),
      ipv6NormalRoutePriority: z.number().int().min(1).max(MAX_PRIORITY).optional(),
    }).prefault({}),
  ),
);

export const bgpPeerSchema = once(() =>
  resource(
    "BGPPeer",
    object({
      node: z.string().optional(),
      nodeSelector: selectorText().optional(),
      /** `ip`, `v4:port` or `[v6]:port`. */
      peerIP: z.string().optional(),
      asNumber: asNumber.optional(),
      localASNumber: asNumber.optional(),
      peerSelector: selectorText().optional(),
      keepOriginalNextHop: z.boolean().optional(),
      nextHopMode: z.enum(["Auto", "Self", "Keep"]).optional(),
      password: secretKeyRef().optional(),
      sourceAddress: z.enum(["UseNodeIP", "None"]).optional(),
      maxRestartTime: duration.optional(),
      keepaliveTime: duration.optional(),
      numAllowedLocalASNumbers: z.number().int().min(0).optional(),
      ttlSecurity: z.number().int().min(0).max(255).optional(),
      reachableBy: ip.optional(),
      filters: z.array(z.string()).optional(),
      localWorkloadSelector: selectorText().optional(),
      reversePeering: z.enum(["Auto", "Manual"]).optional(),
    }).prefault({}),
  ),
);

const filterOperation = once(() =>
  object({
    addCommunity: object({ value: community() }).optional(),
    prependASPath: object({ prefix: z.array(asNumber).min(1).max(10) }).optional(),
    setPriority: object({ value: z.number().int().min(1).max(MAX_PRIORITY) }).optional(),
  }),
);

const filterRule = once(() =>
  object({
    cidr: cidr.optional(),
    matchOperator: z.enum(["Equal", "NotEqual", "In", "NotIn"]).optional(),
    prefixLength: object({ min: z.number().int().optional(), max: z.number().int().optional() }).optional(),
    source: z.enum(["RemotePeers"]).optional(),
    interface: z
      .string()
      .regex(/^[a-zA-Z0-9_.*-]{1,15}$/, "must be an interface name, * allowed")
      .optional(),
    peerType: z.enum(["eBGP", "iBGP"]).optional(),
    communities: object({ values: z.array(community()).length(1) }).optional(),
    asPathPrefix: z.array(asNumber).optional(),
    priority: z.number().int().min(1).max(MAX_PRIORITY).optional(),
    action: z.enum(["Accept", "Reject"]),
    operations: z.array(filterOperation()).min(1).max(10).optional(),
  }),
);

const filterRules = once(() => z.array(filterRule()).optional());
export const bgpFilterSchema = once(() =>
  resource(
    "BGPFilter",
    object({ exportV4: filterRules(), importV4: filterRules(), exportV6: filterRules(), importV6: filterRules() }).prefault({}),
  ),
);
