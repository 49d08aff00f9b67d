/**
 * What a pod and its namespace ask of their network by annotations. Source: calico cni-plugin/pkg/k8s/k8s.go (CmdAddK8s); facts §3.5.
 */
import { formatIp, parseCidrLoose, parseIp, formatCidr } from "@calico/model";
import { CniFault } from "./fault.ts";
import { isV6 } from "./result.ts";

export type Annotations = Readonly<Record<string, string>>;
export type Features = { readonly ip_addrs_no_ipam?: boolean | undefined; readonly floating_ips?: boolean | undefined };

export type Wishes = {
  /** Exactly these addresses, from IPAM or past it. */
  readonly addresses: { readonly ips: readonly string[]; readonly pastIpam: boolean } | undefined;
  /** Names or CIDRs of pools. */
  readonly pools4: readonly string[] | undefined;
  readonly pools6: readonly string[] | undefined;
  readonly families: { readonly v4: boolean; readonly v6: boolean } | undefined;
  readonly mac: string | undefined;
  readonly floatingIps: readonly string[];
  readonly allowedSourcePrefixes: readonly string[];
};

export const NO_WISHES: Wishes = {
  addresses: undefined,
  pools4: undefined,
  pools6: undefined,
  families: undefined,
  mac: undefined,
  floatingIps: [],
  allowedSourcePrefixes: [],
};

const PREFIX = "cni.projectcalico.org/";

/** A pod's own annotation goes before its namespace's, where both may have it. */
export function wishesOf(o: { readonly pod: Annotations; readonly namespace: Annotations; readonly features: Features }): Wishes {
  const own = (name: string) => o.pod[PREFIX + name];
  const either = (name: string) => own(name) ?? o.namespace[PREFIX + name];
  return {
    addresses: addressesOf(own("ipAddrs"), own("ipAddrsNoIpam"), o.features),
    pools4: listOf("ipv4pools", either("ipv4pools")),
    pools6: listOf("ipv6pools", either("ipv6pools")),
    families: familiesOf(either("ipFamilies")),
    mac: macOf(own("hwAddr")),
    floatingIps: floatingIpsOf(own("floatingIPs"), o.features),
    allowedSourcePrefixes: prefixesOf(own("allowedSourcePrefixes")),
  };
}

/** Whether a pod that runs was given its addresses past IPAM. */
export function asksPastIpam(pod: Annotations): boolean {
  return Boolean(pod[`${PREFIX}ipAddrsNoIpam`]);
}

function wrong(text: string, details?: string): CniFault {
  return new CniFault("invalidConfig", text, details);
}

function listOf(name: string, text: string | undefined): readonly string[] | undefined {
  if (text === undefined || text === "") return undefined;
  try {
    const json: unknown = JSON.parse(text);
    if (Array.isArray(json) && json.every((item) => typeof item === "string")) return json;
  } catch {
    // Told below: one text for whatever is wrong with it.
  }
  throw wrong(`failed to parse '${text}' as JSON: expected a list of strings`, `annotation "${PREFIX}${name}"`);
}

function addressesOf(ipAddrs: string | undefined, noIpam: string | undefined, features: Features): Wishes["addresses"] {
  if (ipAddrs && noIpam) throw wrong("can't have both annotations: 'ipAddrs' and 'ipAddrsNoIpam' in use at the same time");
  if (noIpam) {
    if (features.ip_addrs_no_ipam !== true) throw wrong("requested feature is not enabled: ip_addrs_no_ipam");
    return { ips: onePerFamily("ipAddrsNoIpam", noIpam), pastIpam: true };
  }
  return ipAddrs ? { ips: onePerFamily("ipAddrs", ipAddrs), pastIpam: false } : undefined;
}

function onePerFamily(name: string, text: string): readonly string[] {
  const ips = (listOf(name, text) ?? []).map((ip) => strictIp(name, ip));
  if (ips.length === 0) throw wrong(`annotation "${PREFIX}${name}" specified but empty`);
  for (const [family, v6] of [
    ["IPv4", false],
    ["IPv6", true],
  ] as const) {
    if (ips.filter((ip) => isV6(ip) === v6).length > 1)
      throw wrong(`cannot have more than one ${family} address for "${PREFIX}${name}" annotation`);
  }
  return ips.toSorted((a, b) => Number(isV6(a)) - Number(isV6(b)));
}

function strictIp(name: string, text: string): string {
  const ip = parseIp(text);
  if (!ip.ok) throw wrong(`failed to parse IP addresses: ${text} for annotation "${PREFIX}${name}"`, ip.error);
  return formatIp(ip.value);
}

function familiesOf(text: string | undefined): Wishes["families"] {
  const families = listOf("ipFamilies", text);
  if (families === undefined) return undefined;
  const odd = families.find((f) => f !== "IPv4" && f !== "IPv6");
  if (odd !== undefined || families.length === 0)
    throw wrong(
      `annotation "${PREFIX}ipFamilies": ${odd === undefined ? "the list is empty" : `${JSON.stringify(odd)} is no family`}`,
      'expected "IPv4" or "IPv6"',
    );
  return { v4: families.includes("IPv4"), v6: families.includes("IPv6") };
}

function macOf(text: string | undefined): string | undefined {
  if (text === undefined || text === "") return undefined;
  const mac = text.toLowerCase().replaceAll("-", ":");
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac))
    throw wrong(`failed to parse MAC address ${text} provided via "${PREFIX}hwAddr"`, "expected six octets, as 02:42:ac:11:00:02");
  if (Number.parseInt(mac.slice(0, 2), 16) % 2 === 1)
    throw wrong(`MAC address ${text} provided via "${PREFIX}hwAddr" is a multicast address`, "its first octet must be even");
  return mac;
}

function floatingIpsOf(text: string | undefined, features: Features): readonly string[] {
  if (text === undefined || text === "") return [];
  if (features.floating_ips !== true) throw wrong("requested feature is not enabled: floating_ips");
  return (listOf("floatingIPs", text) ?? []).map((ip) => strictIp("floatingIPs", ip));
}

function prefixesOf(text: string | undefined): readonly string[] {
  return (listOf("allowedSourcePrefixes", text) ?? []).map((prefix) => {
    const cidr = parseCidrLoose(prefix);
    if (!cidr.ok) throw wrong(`failed to parse '${prefix}' as a CIDR`, `annotation "${PREFIX}allowedSourcePrefixes": ${cidr.error}`);
    return formatCidr(cidr.value);
  });
}

/** Each floating address beside the pod's address of its family. */
export function natsOf(
  floatingIps: readonly string[],
  addresses: readonly string[],
): readonly { internalIP: string; externalIP: string }[] {
  return floatingIps.map((externalIP) => {
    const internal = addresses.find((a) => isV6(a) === isV6(externalIP))?.split("/")[0];
    if (internal === undefined)
      throw wrong(`the pod has no ${isV6(externalIP) ? "IPv6" : "IPv4"} address for the floating IP ${externalIP}`);
    return { internalIP: internal, externalIP };
  });
}
