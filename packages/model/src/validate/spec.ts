/** Checks of an object's spec that need more than one field, one row per kind. Source: calico libcalico-go/lib/validator/v3 and the CEL rules of the v3 CRDs. */
import { cidrOverlaps, parseCidr, parseCidrLoose, parseIp } from "../ip.ts";
import { checkBgpConfiguration, checkBgpFilter, checkBgpPeer } from "./bgp.ts";
import { checkRule } from "./rule.ts";
import type { Kind } from "../kinds.ts";
import type { FieldError } from "../resources/base.ts";
import type { Rule } from "../resources/rule.ts";
import type {
  GlobalNetworkPolicy,
  IPAMConfiguration,
  IPPool,
  NetworkPolicy,
  Profile,
  Resource,
  Tier,
  WorkloadEndpoint,
} from "../resources/schemas.ts";

type Check<K extends Kind> = (object: Resource<K>) => FieldError[];

const CHECKS: { readonly [K in Kind]?: Check<K> } = {
  NetworkPolicy: (policy) => checkRules(policy, false),
  GlobalNetworkPolicy: checkGlobalPolicy,
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

function checkRules(object: NetworkPolicy | GlobalNetworkPolicy | Profile, global: boolean): FieldError[] {
  return (["ingress", "egress"] as const).flatMap((direction) =>
    ((object.spec[direction] ?? []) as readonly Rule[]).flatMap((rule, i) =>
      checkRule(rule, { field: `spec.${direction}[${i}]`, direction, global }),
    ),
  );
}

function checkGlobalPolicy(policy: GlobalNetworkPolicy): FieldError[] {
  const { doNotTrack, preDNAT, applyOnForward, egress, types } = policy.spec;
  const errors = checkRules(policy, true);
  if (doNotTrack && preDNAT) errors.push({ field: "spec.preDNAT", value: true, reason: "preDNAT and doNotTrack cannot both be true" });
  for (const name of ["doNotTrack", "preDNAT"] as const) {
    if (policy.spec[name] && !applyOnForward)
      errors.push({ field: "spec.applyOnForward", value: applyOnForward, reason: `must be true with ${name}` });
  }
  if (preDNAT && ((egress?.length ?? 0) > 0 || types.includes("Egress")))
    errors.push({ field: "spec.egress", value: egress, reason: "a preDNAT policy cannot have egress rules or type Egress" });
  return errors;
}

const FIXED_TIERS: Readonly<Record<string, { readonly order: number; readonly defaultAction: "Deny" | "Pass" }>> = {
  default: { order: 1_000_000, defaultAction: "Deny" },
  "kube-admin": { order: 1_000, defaultAction: "Pass" },
  "kube-baseline": { order: 10_000_000, defaultAction: "Pass" },
};

function checkTier(tier: Tier): FieldError[] {
  const fixed = Object.hasOwn(FIXED_TIERS, tier.metadata.name) ? FIXED_TIERS[tier.metadata.name] : undefined;
  if (fixed === undefined) return [];
  return (["order", "defaultAction"] as const).flatMap((name) =>
    tier.spec[name] === fixed[name]
      ? []
      : [{ field: `spec.${name}`, value: tier.spec[name], reason: `${name} of tier ${tier.metadata.name} must be ${fixed[name]}` }],
  );
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
