/** Every kernel object that proxy-nat owns, named once. What has another name is not ours and is never touched. */
import { makeUniqueId } from "@calico/model";

export const OURS = {
  /** Chains: `calinat-…`; at most 28 characters, the kernel's limit. */
  chainPrefix: "calinat-",
  /** Every rule, hook rules included, carries a comment that begins so. */
  commentPrefix: "calinat:",
  services: "calinat-services",
  unserved: "calinat-unserved",
  /** Below `services` and `unserved`: one chain per network that holds many. */
  servicesBranch: "calinat-vip-",
  unservedBranch: "calinat-uns-",
  markMasq: "calinat-mark-masq",
  sourceMasq: "calinat-source-masq",
  postrouting: "calinat-postrouting",
  servicePrefix: "calinat-svc-",
  endpointPrefix: "calinat-sep-",
} as const;

/** The packet mark "masquerade me after routing". Outside of felix's 0xffff0000. */
export const MASQUERADE_MARK = "0x4000/0x4000";

export type Family = 4 | 6;
export type TableName = "nat" | "filter";

/** 16 characters, 96 bits: nobody can name a service so that it collides with another's chain. */
function hash16(text: string): string {
  return makeUniqueId("calinat", text).slice("calinat:".length).slice(0, 16);
}

/** The chain of one network of a dispatch tree. IPv6 networks are too long for a chain name in clear. */
export function branchChain(branch: string, family: Family, network: string): string {
  return `${branch}${family === 4 ? network : hash16(network)}`;
}

/** The chain that balances one port of one service. */
export function serviceChain(portId: string): string {
  return `${OURS.servicePrefix}${hash16(portId)}`;
}

/** The chain that sends to one endpoint of one port of one service; also the name of its affinity list. */
export function endpointChain(portId: string, target: string): string {
  return `${OURS.endpointPrefix}${hash16(`${portId}|${target}`)}`;
}

/** The comment's hash of rule `index` of a chain; a chain's hashes depend on all rules before, so the last one stands for the chain. */
export function ruleHash(previous: string, rule: string): string {
  return hash16(`${previous}|${rule}`);
}
