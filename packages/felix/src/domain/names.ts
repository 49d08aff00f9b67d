/**
 * Names of everything felix makes in the kernel, in one place.
 *
 * Source: Calico felix/rules/rule_defs.go, felix/rules/policy.go (PolicyChainName), felix/ipsets/ipset_defs.go.
 */
import { sha256Base64Url } from "./sha256.ts";

export type Family = 4 | 6;

/** The longest chain name that iptables takes. */
export const MAX_CHAIN_NAME = 28;
/** The longest set name that ipset takes. */
export const MAX_SET_NAME = 31;

export const CHAIN_PREFIX = "cali-";
export const INTERFACE_PREFIX = "cali";
/** Rules of ours carry a comment that begins so; what follows is the rule's hash. */
export const RULE_MARK = "cali:";

export const DISPATCH = { from: "cali-from-wl-dispatch", to: "cali-to-wl-dispatch" } as const;
export const ENDPOINT = { from: "cali-fw-", to: "cali-tw-" } as const;
export const POLICY = { ingress: "cali-pi-", egress: "cali-po-" } as const;
export const PROFILE = { ingress: "cali-pri-", egress: "cali-pro-" } as const;

/** Sets that exist whether or not a policy asks for them. */
export const FIXED_SETS = {
  allHosts: "all-hosts-net",
  allVxlan: "all-vxlan-net",
  allPools: "network-ip-pools",
  natPools: "masq-ipam-pools",
} as const;

/**
 * Prefix and suffix where they fit into 28 characters, else the prefix, `_` and a hash of the suffix.
 *
 * A suffix that would fill the name exactly and begins with `_` is hashed too, so that it cannot collide with a hashed one.
 */
export function chainName(prefix: string, suffix: string): string {
  const text = suffix === "" ? "_" : suffix;
  const length = prefix.length + text.length;
  if (length < MAX_CHAIN_NAME || (length === MAX_CHAIN_NAME && !text.startsWith("_"))) return prefix + text;
  return `${prefix}_${sha256Base64Url(text)}`.slice(0, MAX_CHAIN_NAME);
}

const SHORT_KIND = { NetworkPolicy: "np", GlobalNetworkPolicy: "gnp" } as const;

export type PolicyKind = keyof typeof SHORT_KIND;
export type PolicyId = { readonly kind: PolicyKind; readonly namespace?: string; readonly name: string };

/** `np/<namespace>/<name>` or `gnp/<name>`: the policy in chain names. */
export function policySuffix(id: PolicyId): string {
  return [SHORT_KIND[id.kind], ...(id.namespace === undefined ? [] : [id.namespace]), id.name].join("/");
}

/** The kernel's name of an IP set; cut to what ipset allows. */
export function setName(family: Family, id: string): string {
  return `cali${family}0${id}`.slice(0, MAX_SET_NAME);
}

/** True for the sets that are felix's to change or remove. */
export function isOurSet(name: string): boolean {
  return /^cali[46][0t]/.test(name);
}
