/** Checks of an object's spec that need more than one field, one row per kind. Source: calico libcalico-go/lib/validator/v3 and the CEL rules of the v3 CRDs. */
import { cidrOverlaps, parseCidr, parseCidrLoose, parseIp } from "../ip.ts";
import { checkBgpConfiguration, checkBgpFilter, checkBgpPeer } from "./bgp.ts";
import { checkGlobalPolicy, checkRules, checkStagedGlobalPolicy, checkStagedPolicy, checkTier } from "./policies.ts";
import type { Kind } from "../kinds.ts";
import type { FieldError } from "../resources/base.ts";
import type { FelixConfiguration, HostEndpoint, IPAMConfiguration, IPPool, Resource, WorkloadEndpoint } from "../resources/schemas.ts";

type Check<K extends Kind> = (object: Resource<K>) => FieldError[];

const CHECKS: { readonly [K in Kind]?: Check<K> } = {
  FelixConfiguration: checkFelixConfiguration,
  HostEndpoint: checkHostEndpoint,
  NetworkPolicy: (policy) => checkRules(policy, false),
  GlobalNetworkPolicy: checkGlobalPolicy,
  StagedNetworkPolicy: checkStagedPolicy,
  StagedGlobalNetworkPolicy: checkStagedGlobalPolicy,
  Profile: (profile) => checkRules(profile, true),
  Tier: checkTier,
  IPPool: checkPool,
  IPAMConfiguration: checkIpamConfiguration,
  WorkloadEndpoint: checkWorkloadEndpoint,
  BGPConfiguration: checkBgpConfiguration,
  BGPPeer: checkBgpPeer,
  BGPFilter: checkBgpFilter,
};

/** What is wrong with an object whose fields are each fine. */
export function checkSpec<K extends Kind>(kind: K, object: Resource<K>): FieldError[] {
  const check = CHECKS[kind] as Check<K> | undefined;
  return check?.(object) ?? [];
}

const RESERVED = ["169.254.0.0/16", "fe80::/10"].map((text) => parseCidr(text)).flatMap((parsed) => (parsed.ok ? [parsed.value] : []));

function checkPool({ spec }: IPPool): FieldError[] {
  const parsed = parseCidr(spec.cidr);
  if (!parsed.ok) return [];
  const errors: FieldError[] = [];
  const bad = (field: string, value: unknown, reason: string) => errors.push({ field: `spec.${field}`, value, reason });
  const { family, len } = parsed.value;
  const [least, most] = family === 4 ? [20, 32] : [116, 128];
  if (spec.blockSize < least || spec.blockSize > most) bad("blockSize", spec.blockSize, `block size must be between ${least} and ${most}`);
  else if (!spec.disabled && len > spec.blockSize)
    bad("cidr", spec.cidr, "IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.");
  if (spec.ipipMode !== "Never" && spec.vxlanMode !== "Never")
    bad("vxlanMode", spec.vxlanMode, "only one of ipipMode and vxlanMode may be enabled");
  if (family === 6 && spec.ipipMode !== "Never") bad("ipipMode", spec.ipipMode, "IPIP is not supported on an IPv6 IP pool");
  if (RESERVED.some((net) => cidrOverlaps(net, parsed.value))) bad("cidr", spec.cidr, "IP pool range overlaps with a link-local range");
  errors.push(...checkPoolUses(spec));
  return errors;
}

function checkPoolUses(spec: IPPool["spec"]): FieldError[] {
  const bad = (reason: string): FieldError => ({ field: "spec.allowedUses", value: spec.allowedUses, reason });
  const errors: FieldError[] = [];
  if (
    spec.allowedUses.includes("Tunnel") &&
    spec.namespaceSelector !== undefined &&
    spec.namespaceSelector !== "" &&
    spec.allowedUses.length === 1
  ) {
    errors.push(bad("a pool for tunnels cannot have a namespaceSelector"));
  }
  if (!spec.allowedUses.includes("LoadBalancer")) return errors;
  if (spec.allowedUses.length > 1) errors.push(bad("LoadBalancer cannot be combined with other uses"));
  if (spec.ipipMode !== "Never" || spec.vxlanMode !== "Never") errors.push(bad("a LoadBalancer pool cannot have an encapsulation"));
  if (spec.disableBGPExport) errors.push(bad("a LoadBalancer pool cannot have disableBGPExport"));
  if (spec.nodeSelector !== "all()") errors.push(bad("a LoadBalancer pool must have nodeSelector all()"));
  return errors;
}

function checkIpamConfiguration({ spec }: IPAMConfiguration): FieldError[] {
  if (spec.strictAffinity || spec.autoAllocateBlocks) return [];
  return [
    { field: "spec.autoAllocateBlocks", value: false, reason: "Cannot disable 'StrictAffinity' and 'AutoAllocateBlocks' at the same time" },
  ];
}

function checkWorkloadEndpoint({ spec }: WorkloadEndpoint): FieldError[] {
  const errors: FieldError[] = [];
  const own = new Set((spec.ipNetworks ?? []).map((text) => text.replace(/\/\d+$/, "")));
  for (const [i, nat] of (spec.ipNATs ?? []).entries()) {
    const [internal, external] = [parseIp(nat.internalIP), parseCidrLoose(nat.externalIP)];
    if (internal.ok && external.ok && internal.value.family !== external.value.family)
      errors.push({ field: `spec.ipNATs[${i}]`, value: nat, reason: "the two addresses must be of one IP version" });
    if (!own.has(nat.internalIP))
      errors.push({ field: `spec.ipNATs[${i}].internalIP`, value: nat.internalIP, reason: "must be one of ipNetworks" });
  }
  for (const [i, port] of (spec.ports ?? []).entries()) {
    if ((port.name ?? "") === "" && !port.hostPort)
      errors.push({ field: `spec.ports[${i}].name`, value: port.name, reason: "field is required unless hostPort is set" });
  }
  return errors;
}

/** Which nodes a FelixConfiguration is for is in its name or in its selector, not in both. Source: facts §1.3.5. */
function checkFelixConfiguration({ metadata: { name }, spec }: FelixConfiguration): FieldError[] {
  const bad = (reason: string): FieldError[] => [{ field: "spec.nodeSelector", value: spec.nodeSelector, reason }];
  const named = name === "default" || name.startsWith("node.");
  const selects = (spec.nodeSelector ?? "") !== "";
  if (named && selects) return bad(`must not be set on a FelixConfiguration named ${name}`);
  return named || selects ? [] : bad('is required unless the name is "default" or "node.<nodename>"');
}

function checkHostEndpoint({ spec }: HostEndpoint): FieldError[] {
  const names = (spec.ports ?? []).map(({ name }) => name);
  return names.flatMap((name, i) =>
    names.indexOf(name) === i ? [] : [{ field: `spec.ports[${i}].name`, value: name, reason: "must not be that of another port" }],
  );
}
