/** Cross-field checks of the BGP kinds. Source: calico libcalico-go/lib/validator/v3 (validateBGPPeerSpec, validateBGPConfigurationSpec, validateBGPFilterRule…). */
import { parseIp } from "../ip.ts";
import type { Family } from "../ip.ts";
import type { FieldError } from "../resources/base.ts";
import type { BGPConfiguration, BGPFilter, BGPPeer } from "../resources/schemas.ts";

/** The two parts of `spec.peerIP`: `ip`, `v4:port`, or `[v6]:port`. */
export function parsePeerIp(text: string): { readonly ip: string; readonly port?: number } | undefined {
  if (parseIp(text).ok) return { ip: text };
  const m = /^(?:\[([^\]]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const ip = m?.[1] ?? m?.[2];
  const port = Number(m?.[3]);
  if (ip === undefined || !parseIp(ip).ok || port < 1 || port > 65535) return undefined;
  return { ip, port };
}

export function checkBgpPeer({ spec }: BGPPeer): FieldError[] {
  const errors: FieldError[] = [];
  const bad = (field: string, value: unknown, reason: string) => errors.push({ field: `spec.${field}`, value, reason });
  const has = (value: unknown) => value !== undefined && value !== "";
  if (has(spec.node) && has(spec.nodeSelector)) bad("node", spec.node, "node and nodeSelector cannot both be set");
  if (has(spec.peerIP) && has(spec.peerSelector)) bad("peerIP", spec.peerIP, "peerIP and peerSelector cannot both be set");
  if (has(spec.peerSelector) && (spec.asNumber ?? 0) !== 0) bad("asNumber", spec.asNumber, "asNumber must be empty with peerSelector");
  if (has(spec.peerIP) && parsePeerIp(spec.peerIP ?? "") === undefined)
    bad("peerIP", spec.peerIP, "must be an IP address, ip:port, or [ip]:port");
  if (has(spec.localWorkloadSelector)) {
    if (has(spec.peerIP) || has(spec.peerSelector))
      bad("localWorkloadSelector", spec.localWorkloadSelector, "peerIP and peerSelector must be empty with localWorkloadSelector");
    if ((spec.asNumber ?? 0) === 0) bad("asNumber", spec.asNumber, "must be set with localWorkloadSelector");
  }
  if (has(spec.reachableBy)) {
    const peer = familyOf(parsePeerIp(spec.peerIP ?? "")?.ip);
    if (peer === undefined) bad("reachableBy", spec.reachableBy, "needs peerIP");
    else if (peer !== familyOf(spec.reachableBy)) bad("reachableBy", spec.reachableBy, "must be of the same IP version as peerIP");
  }
  if (spec.keepOriginalNextHop && spec.nextHopMode !== undefined)
    bad("nextHopMode", spec.nextHopMode, "keepOriginalNextHop and nextHopMode cannot both be set");
  return errors;
}

function familyOf(text: string | undefined): Family | undefined {
  const parsed = parseIp(text ?? "");
  return parsed.ok ? parsed.value.family : undefined;
}

const COMMUNITY = "aa:nn must be of 16-bit numbers, aa:nn:mm of 32-bit numbers";

const GLOBAL_ONLY = [
  "nodeToNodeMeshEnabled",
  "asNumber",
  "serviceLoadBalancerIPs",
  "serviceExternalIPs",
  "serviceClusterIPs",
  "nodeMeshPassword",
  "nodeMeshMaxRestartTime",
] as const;

export function checkBgpConfiguration({ metadata, spec }: BGPConfiguration): FieldError[] {
  const errors: FieldError[] = [];
  const bad = (field: string, value: unknown, reason: string) => errors.push({ field: `spec.${field}`, value, reason });
  if (metadata.name !== "default") {
    for (const name of GLOBAL_ONLY)
      if (spec[name] !== undefined) bad(name, spec[name], `can only be set in the BGPConfiguration named "default"`);
  }
  for (const name of ["nodeMeshPassword", "nodeMeshMaxRestartTime"] as const) {
    if (spec[name] !== undefined && spec.nodeToNodeMeshEnabled === false)
      bad(name, spec[name], "needs the node-to-node mesh to be enabled");
  }
  const advertisements = spec.prefixAdvertisements ?? [];
  if ((spec.communities?.length ?? 0) > 0 && advertisements.length === 0)
    bad("communities", spec.communities, "communities need prefixAdvertisements");
  const names = new Set((spec.communities ?? []).map((community) => community.name));
  for (const [i, advertisement] of advertisements.entries()) {
    for (const [j, community] of (advertisement.communities ?? []).entries()) {
      if (!names.has(community) && !isCommunity(community))
        bad(`prefixAdvertisements[${i}].communities[${j}]`, community, "must be the name of a community or a value aa:nn or aa:nn:mm");
    }
  }
  for (const [i, community] of (spec.communities ?? []).entries()) {
    if (!isCommunity(community.value)) bad(`communities[${i}].value`, community.value, COMMUNITY);
  }
  return errors;
}

function isCommunity(text: string): boolean {
  const parts = text.split(":").map((part) => (/^\d+$/.test(part) ? Number(part) : Number.NaN));
  const limit = parts.length === 2 ? 0xffff : 0xffffffff;
  return (parts.length === 2 || parts.length === 3) && parts.every((part) => part <= limit);
}

function checkPrefixLength(range: { readonly min?: number; readonly max?: number } | undefined, most: number, field: string): FieldError[] {
  if (range === undefined) return [];
  const { min = 0, max = most } = range;
  if (min >= 0 && max <= most && min <= max) return [];
  return [{ field, value: range, reason: `must be a range within 0 to ${most}` }];
}

export function checkBgpFilter({ spec }: BGPFilter): FieldError[] {
  return (["exportV4", "importV4", "exportV6", "importV6"] as const).flatMap((list) =>
    (spec[list] ?? []).flatMap((rule, i) => {
      const errors: FieldError[] = [];
      const bad = (field: string, value: unknown, reason: string) => errors.push({ field: `spec.${list}[${i}].${field}`, value, reason });
      if ((rule.cidr === undefined) !== (rule.matchOperator === undefined))
        bad("matchOperator", rule.matchOperator, "cidr and matchOperator must be set together");
      if (rule.prefixLength !== undefined && rule.cidr === undefined) bad("prefixLength", rule.prefixLength, "needs cidr");
      if (rule.cidr !== undefined && familyOf(rule.cidr.split("/")[0]) !== (list.endsWith("V4") ? 4 : 6))
        bad("cidr", rule.cidr, `must be of the IP version of ${list}`);
      errors.push(...checkPrefixLength(rule.prefixLength, list.endsWith("V4") ? 32 : 128, `spec.${list}[${i}].prefixLength`));
      for (const [j, value] of (rule.communities?.values ?? []).entries())
        if (!isCommunity(value)) bad(`communities.values[${j}]`, value, COMMUNITY);
      if (rule.operations !== undefined && rule.action !== "Accept")
        bad("operations", rule.operations, "can only be set with action Accept");
      for (const [j, operation] of (rule.operations ?? []).entries()) {
        const set = Object.values(operation).filter((value) => value !== undefined).length;
        if (set !== 1) bad(`operations[${j}]`, operation, "must have exactly one of addCommunity, prependASPath, setPriority");
        const added = operation.addCommunity?.value;
        if (added !== undefined && !isCommunity(added)) bad(`operations[${j}].addCommunity.value`, added, COMMUNITY);
      }
      return errors;
    }),
  );
}
