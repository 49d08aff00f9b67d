/**
 * What each field of a FelixConfiguration may be, one row per type. Held against what is written, never against what is read:
 * a newer Calico's value must not cost a node its whole configuration. An empty text is an absent field.
 *
 * Source: facts §5.19; calico api/pkg/apis/projectcalico/v3/felixconfig.go (JSON types, patterns and enums of the spec).
 */
import { parseCidrLoose, parseIp } from "../ip.ts";
import { dscpNumber } from "../resources/values.ts";
import type { FieldError } from "../resources/base.ts";

/** The reason why a value is not of the type; undefined if it is. */
type Check = (value: unknown) => string | undefined;

const bool: Check = (value) => (typeof value === "boolean" ? undefined : "must be true or false");

function int(least: number, most: number): Check {
  const reason = `must be a whole number from ${least} to ${most}`;
  return (value) => (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most ? undefined : reason);
}

function text(pattern: RegExp, reason: string): Check {
  return (value) => (typeof value === "string" && (value === "" || pattern.test(value)) ? undefined : reason);
}

/** `exact` where Calico's own check minds the case. */
function oneOf(values: string, { exact = false } = {}): Check {
  const known = values.split(" ");
  const reason = `must be one of ${known.join(", ")}`;
  const same = (value: string) => known.some((one) => (exact ? one === value : one.toLowerCase() === value.toLowerCase()));
  return (value) => (typeof value === "string" && (value === "" || same(value)) ? undefined : reason);
}

function ipOf(family: 4 | 6): Check {
  return (value) => {
    const parsed = parseIp(String(value));
    return value === "" || (typeof value === "string" && parsed.ok && parsed.value.family === family)
      ? undefined
      : `must be an IPv${family} address`;
  };
}

function listOf(check: Check): Check {
  return (value) => {
    if (!Array.isArray(value)) return "must be a list";
    const [at, reason] =
      value
        .map(check)
        .entries()
        .find(([, found]) => found !== undefined) ?? [];
    return reason === undefined ? undefined : `[${at}]: ${reason}`;
  };
}

/** `optional` fields may be absent, the others must be there; fields of other names are no business of ours. */
function fieldsOf(fields: Readonly<Record<string, Check>>, optional: readonly string[] = []): Check {
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return `must have ${Object.keys(fields).join(", ")}`;
    for (const [name, check] of Object.entries(fields)) {
      const field = (value as Readonly<Record<string, unknown>>)[name];
      if (field === undefined && optional.includes(name)) continue;
      const reason = check(field);
      if (reason !== undefined) return `${name}: ${reason}`;
    }
    return undefined;
  };
}

function mapOf(check: Check): Check {
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return "must be a map of texts";
    return listOf(check)(Object.values(value));
  };
}

const anyText = text(/^/, "must be a text");
const anyInt = int(-(2 ** 31), 2 ** 32 - 1);
const duration = text(/^([0-9]+(\.[0-9]+)?(ms|s|m|h))*$/, "must be a duration such as 90s or 1m30s");
const host = text(/^[a-zA-Z0-9:._+-]{1,64}$/, "must be a host name or address of at most 64 characters");
const iface = text(/^[a-zA-Z0-9:._+-]{1,15}$/, "must be an interface name of at most 15 characters");
const cidrs = listOf((value) => (typeof value === "string" && parseCidrLoose(value).ok ? undefined : "must be a CIDR"));
const markMask: Check = (value) =>
  int(0, 2 ** 32 - 1)(value) ?? (bitsOf(value as number) >= 2 ? undefined : "must have at least 2 of 32 bits set");
const tableRange: Check = (value) => {
  const { min, max } = (value ?? {}) as { readonly min?: number; readonly max?: number };
  return (
    fieldsOf({ min: int(1, 2 ** 32 - 1), max: int(1, 2 ** 32 - 1) })(value) ??
    ((min ?? 0) <= (max ?? 0) ? undefined : "min must not be above max")
  );
};
const failsafePort = fieldsOf({ protocol: oneOf("tcp udp sctp"), port: int(0, 65535), net: (value) => cidrs([value]) }, [
  "protocol",
  "net",
]);
const timer = text(/^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$/, 'must be a duration or "Auto"');

function bitsOf(value: number): number {
  return value.toString(2).replaceAll("0", "").length;
}

/** A port, or `min:max`; 0 stands for the system's own choice. */
const portRange: Check = (value) => {
  const m = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(String(value));
  const [min, max] = [Number(m?.[1]), Number(m?.[2] ?? m?.[1])];
  return m !== null && min <= max && max <= 65535 ? undefined : 'must be a port or a range "min:max" within 0 to 65535';
};

const enabled = oneOf("Enabled Disabled", { exact: true });
const acceptReturn = oneOf("Accept Return");
const dropReject = oneOf("Drop Reject");
const severity = oneOf("Trace Debug Info Warning Error Fatal");

const ROWS: readonly (readonly [names: string, check: Check])[] = [
  [
    `allowIPIPPacketsFromWorkloads allowVXLANPacketsFromWorkloads bpfConnectTimeLoadBalancingEnabled bpfDisableUnprivileged bpfEnabled
     bpfHostConntrackBypass bpfIPFragmentReassemblyEnabled bpfKubeProxyEndpointSlicesEnabled bpfKubeProxyIptablesCleanupEnabled
     bpfPolicyDebugEnabled debugDisableLogDropping disableConntrackInvalidCheck endpointReportingEnabled flowLogsCollectorDebugTrace
     genericXDPEnabled healthEnabled ipipEnabled ipv6Support prometheusGoMetricsEnabled prometheusMetricsEnabled
     prometheusProcessMetricsEnabled prometheusWireGuardMetricsEnabled removeExternalRoutes requireMTUFile routeSyncDisabled
     sidecarAccelerationEnabled usageReportingEnabled useInternalDataplaneDriver vxlanEnabled wireguardEnabled wireguardEnabledV6
     wireguardHostEncryptionEnabled wireguardThreadingEnabled xdpEnabled`,
    bool,
  ],
  [
    `bpfIPFragTimeout bpfKubeProxyMinSyncPeriod dataplaneWatchdogTimeout debugSimulateCalcGraphHangAfter debugSimulateDataplaneApplyDelay
     debugSimulateDataplaneHangAfter endpointReportingDelay flowLogsFlushInterval interfaceRefreshInterval ipsetsRefreshInterval
     iptablesLockProbeInterval iptablesLockTimeout iptablesPostWriteCheckInterval iptablesRefreshInterval
     liveMigrationRouteConvergenceTime localSubnetL2ReachabilityRefreshInterval netlinkTimeout nftablesRefreshInterval reportingInterval
     reportingTTL routeRefreshInterval usageReportingInitialDelay usageReportingInterval wireguardKeepAlive xdpRefreshInterval`,
    duration,
  ],
  [
    `bpfExportBufferSizeMB bpfMapSizeConntrack bpfMapSizeIPSets bpfMapSizeIfState bpfMapSizeNATAffinity bpfMapSizeNATBackend
     bpfMapSizeNATFrontend bpfMapSizePerCpuConntrack bpfMapSizeRoute deviceRouteProtocol ipipMTU maxIpsetSize vxlanMTU vxlanMTUV6
     vxlanPort vxlanVNI wireguardMTU wireguardMTUV6`,
    anyInt,
  ],
  ["bpfMapSizeConntrackCleanupQueue", int(1, 2 ** 31 - 1)],
  ["goGCThreshold goMaxProcs goMemoryLimitMB", int(-1, Number.MAX_SAFE_INTEGER)],
  ["bpfKubeProxyHealthzPort debugPort healthPort metadataPort prometheusMetricsPort", int(0, 65535)],
  ["wireguardListeningPort wireguardListeningPortV6", int(1, 65535)],
  ["wireguardRoutingRulePriority", int(1, 32_765)],
  ["bpfExtToServiceConnmark", int(0, 2 ** 32 - 1)],
  ["bpfMaglevMaxEndpointsPerService bpfMaglevMaxServices", int(1, 3000)],
  ["logActionRateLimitBurst", int(0, 9999)],
  ["ipv4ElevatedRoutePriority ipv4NormalRoutePriority ipv6ElevatedRoutePriority ipv6NormalRoutePriority", int(1, 2_147_483_646)],
  ["iptablesMarkMask nftablesMarkMask", markMask],
  [
    "istioDSCPMark",
    (value) => (dscpNumber(value as string) === undefined ? "must be a DSCP value: 0 to 63, or a name such as EF" : undefined),
  ],
  ["natPortRange bpfPSNATPorts", portRange],
  ["kubeNodePortRanges", listOf(portRange)],
  ["deviceRouteSourceAddress natOutgoingAddress", ipOf(4)],
  ["deviceRouteSourceAddressIPv6", ipOf(6)],
  ["externalNodesList bpfDSROptoutCIDRs bpfExcludeCIDRsFromNAT", cidrs],
  ["failsafeInboundHostPorts failsafeOutboundHostPorts", listOf(failsafePort)],
  ["healthTimeoutOverrides", listOf(fieldsOf({ name: anyText, timeout: duration }))],
  ["routeTableRange", tableRange],
  ["routeTableRanges", listOf(tableRange)],
  ["bpfConntrackTimeouts", mapOf(timer)],
  ["bpfLogFilters", mapOf(anyText)],
  ["bpfForceTrackPacketsFromIfaces", listOf(iface)],
  ["iptablesNATOutgoingInterfaceFilter wireguardInterfaceName wireguardInterfaceNameV6", iface],
  ["debugHost healthHost prometheusMetricsHost", host],
  ["metadataAddr", text(/^[a-zA-Z0-9_.-]+$/, "must be a host name or address")],
  ["openstackRegion", text(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, "must be a lower-case DNS label")],
  ["interfacePrefix", text(/^[a-zA-Z0-9_-]{1,15}(,[a-zA-Z0-9_-]{1,15})*$/, "must be interface name prefixes, comma separated")],
  ["logActionRateLimit", text(/^[1-9]\d{0,3}\/(?:second|minute|hour|day)$/, "must be a rate such as 10/second")],
  [
    "featureDetectOverride",
    text(/^([\w-]+=(true|false|),)*([\w-]+=(true|false|))?$/, "must be name=true, name=false or name=, comma separated"),
  ],
  ["featureGates", text(/^([\w-]+=([^=]+),)*([\w-]+=([^=]+))?$/, "must be name=value, comma separated")],
  [
    `bpfDataIfacePattern bpfDisableGROForIfaces bpfL3IfacePattern cgroupV2Path dataplaneDriver debugMemoryProfilePath
     endpointStatusPathPrefix flowLogsGoldmaneServer interfaceExclude iptablesLockFilePath logDebugFilenameRegex logFilePath logPrefix
     mtuIfacePattern nftablesFlowTableDataIfacePattern policySyncPathPrefix prometheusMetricsCAFile prometheusMetricsCertFile
     prometheusMetricsKeyFile`,
    anyText,
  ],
  [
    "bpfHostNetworkedNATWithoutCTLB bpfProfiling floatingIPs flowLogsLocalReporter ipForwarding istioAmbientMode windowsManageFirewallRules",
    enabled,
  ],
  ["iptablesFilterAllowAction iptablesMangleAllowAction nftablesFilterAllowAction nftablesMangleAllowAction", acceptReturn],
  ["iptablesFilterDenyAction nftablesFilterDenyAction", dropReject],
  ["defaultEndpointToHostAction", oneOf("Drop Accept Return")],
  ["chainInsertMode", oneOf("Insert Append")],
  ["logSeverityFile logSeverityScreen logSeveritySys", severity],
  ["iptablesBackend", oneOf("Auto Legacy NFT")],
  ["bpfLogLevel", oneOf("Off Info Debug")],
  ["bpfExternalServiceMode", oneOf("Tunnel DSR")],
  ["bpfEnforceRPF", oneOf("Disabled Strict Loose")],
  ["bpfMapSizeConntrackScaling", oneOf("Disabled DoubleIfFull")],
  ["bpfCTLBLogFilter", oneOf("all")],
  ["routeSource", oneOf("CalicoIPAM WorkloadIPs")],
  ["serviceLoopPrevention", oneOf("Drop Reject Disabled")],
  ["workloadSourceSpoofing", oneOf("Disabled Any")],
  ["awsSrcDstCheck", oneOf("DoNothing Enable Disable", { exact: true })],
  ["bpfAttachType", oneOf("Netkit TCX TC", { exact: true })],
  ["bpfConnectTimeLoadBalancing", oneOf("TCP Enabled Disabled", { exact: true })],
  ["bpfConntrackLogLevel", oneOf("Off Debug", { exact: true })],
  ["bpfConntrackMode", oneOf("Auto Userspace BPFProgram", { exact: true })],
  ["bpfJITHardening", oneOf("Auto Strict", { exact: true })],
  ["bpfOverlayHostSourceIP", oneOf("HostAddress TunnelAddress", { exact: true })],
  ["bpfRedirectToPeer", oneOf("Enabled Disabled L2Only", { exact: true })],
  ["flowLogsPolicyEvaluationMode", oneOf("None Continuous", { exact: true })],
  ["localSubnetL2Reachability", oneOf("Disabled PodsAndLoadBalancers", { exact: true })],
  ["natOutgoingExclusions", oneOf("IPPoolsOnly IPPoolsAndHostIPs", { exact: true })],
  ["nftablesFlowTableOffload", oneOf("All Disabled", { exact: true })],
  ["nftablesMode", oneOf("Disabled Enabled Auto", { exact: true })],
  ["programClusterRoutes", oneOf("Enabled Disabled EnabledIPIPOnly EnabledNoEncapOnly", { exact: true })],
  ["prometheusMetricsClientAuth", anyText],
];

/** Every field but `nodeSelector`, which the schema has. */
const FELIX_FIELDS: ReadonlyMap<string, Check> = new Map(
  ROWS.flatMap(([names, check]) => names.split(/\s+/).map((name) => [name, check] as const)),
);

export function isFelixField(name: string): boolean {
  return FELIX_FIELDS.has(name);
}

/** What is wrong with the fields that are there and known. */
export function checkFelixFields(spec: Readonly<Record<string, unknown>>): FieldError[] {
  return Object.entries(spec).flatMap(([name, value]) => {
    const reason = value === undefined || value === null ? undefined : FELIX_FIELDS.get(name)?.(value);
    return reason === undefined ? [] : [{ field: `spec.${name}`, value, reason }];
  });
}
