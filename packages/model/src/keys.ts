/**
 * Calico's etcd key layout: v3 resources, and the IPAM keys that are older than them.
 *
 * Source: calico libcalico-go/lib/backend/model (resource.go, block.go, block_affinity.go, ipam_handle.go, ipam_config.go).
 */
import { kindInfo, kindOfPlural } from "./kinds.ts";
import { formatCidr, parseCidr } from "./ip.ts";
import type { Cidr } from "./ip.ts";
import type { Kind, ObjectRef } from "./kinds.ts";

/** Every key of Calico's is below this. */
export const ROOT_PREFIX = "/calico/";
export const RESOURCES_PREFIX = "/calico/resources/v3/projectcalico.org/";
export const IPAM_PREFIX = "/calico/ipam/v2/";
export const IPAM_BLOCK_PREFIX = `${IPAM_PREFIX}assignment/`;
export const IPAM_HANDLE_PREFIX = `${IPAM_PREFIX}handle/`;
export const ipamConfigKey = `${IPAM_PREFIX}config`;

/** `cidr` on blocks and affinities; `host` on affinities, with `affinityType` saying what the host is. */
export type ParsedKey = {
  readonly ref: ObjectRef;
  readonly cidr?: string;
  readonly host?: string;
  readonly affinityType?: "host" | "virtual";
};

/** The key of a v3 resource. IPAM kinds have their own builders: blockKey, affinityKey. */
export function keyOf(ref: ObjectRef): string {
  const info = kindInfo(ref.kind);
  if (!info.namespaced) return `${RESOURCES_PREFIX}${info.plural}/${ref.name}`;
  if (ref.namespace === undefined || ref.namespace === "")
    throw new TypeError(`Cannot make the key of ${ref.kind} "${ref.name}": its namespace is missing`);
  return `${RESOURCES_PREFIX}${info.plural}/${ref.namespace}/${ref.name}`;
}

/** The prefix below which all objects of a kind are, of one namespace if given. */
export function prefixOf(kind: Kind, namespace?: string): string {
  if (kind === "IPAMBlock") return IPAM_BLOCK_PREFIX;
  if (kind === "BlockAffinity") return `${IPAM_PREFIX}host/`;
  return `${RESOURCES_PREFIX}${kindInfo(kind).plural}/${namespace === undefined ? "" : `${namespace}/`}`;
}

/** The key of an IPAM block. */
export function blockKey(cidr: Cidr | string): string {
  return `${IPAM_BLOCK_PREFIX}${cidrSegments(cidr)}`;
}

/** The key of a node's affinity to a block; `type` "virtual" for owners that are no node, such as load-balancer. */
export function affinityKey(host: string, cidr: Cidr | string, type: "host" | "virtual" = "host"): string {
  return `${IPAM_PREFIX}${type}/${host}/${cidrSegments(cidr)}`;
}

/** The prefix of all affinities of one host and family. */
export function affinityPrefix(host: string, family: 4 | 6): string {
  return `${IPAM_PREFIX}host/${host}/ipv${family}/block/`;
}

export function handleKey(id: string): string {
  return `${IPAM_HANDLE_PREFIX}${id}`;
}

/** The marker of a host that IPAM knows. */
export function ipamHostKey(host: string): string {
  return `${IPAM_PREFIX}host/${host}`;
}

function cidrSegments(cidr: Cidr | string): string {
  const text = typeof cidr === "string" ? cidr : formatCidr(cidr);
  return `ipv${text.includes(":") ? 6 : 4}/block/${text.replace("/", "-")}`;
}

/** What a key names, or undefined if it is none of ours (unknown plural, wrong number of segments, a handle, a marker). */
export function parseKey(key: string): ParsedKey | undefined {
  if (key.startsWith(RESOURCES_PREFIX)) return parseResourceKey(key.slice(RESOURCES_PREFIX.length));
  return parseBlockKey(key) ?? parseAffinityKey(key);
}

function parseResourceKey(rest: string): ParsedKey | undefined {
  const parts = rest.split("/").map(unescapeName);
  const kind = kindOfPlural(parts[0] ?? "");
  if (kind === undefined || parts.includes("")) return undefined;
  const [, first, second] = parts;
  if (kindInfo(kind).namespaced) {
    return parts.length === 3 && first !== undefined && second !== undefined
      ? { ref: { kind, namespace: first, name: second } }
      : undefined;
  }
  return parts.length === 2 && first !== undefined ? { ref: { kind, name: first } } : undefined;
}

function parseBlockKey(key: string): ParsedKey | undefined {
  const m = /^\/calico\/ipam\/v2\/assignment\/ipv[46]\/block\/([^/]+)$/.exec(key);
  const cidr = m?.[1] === undefined ? undefined : cidrOfSegment(m[1]);
  return cidr === undefined ? undefined : { ref: { kind: "IPAMBlock", name: blockName(cidr) }, cidr };
}

function parseAffinityKey(key: string): ParsedKey | undefined {
  const m = /^\/?calico\/ipam\/v2\/(host|virtual)\/([^/]+)\/ipv[46]\/block\/([^/]+)$/.exec(key);
  if (m?.[1] === undefined || m[2] === undefined || m[3] === undefined) return undefined;
  const cidr = cidrOfSegment(m[3]);
  if (cidr === undefined) return undefined;
  return { ref: { kind: "BlockAffinity", name: `${m[2]}-${blockName(cidr)}` }, cidr, host: m[2], affinityType: m[1] as "host" | "virtual" };
}

function cidrOfSegment(segment: string): string | undefined {
  const cidr = parseCidr(segment.replace("-", "/"));
  return cidr.ok ? formatCidr(cidr.value) : undefined;
}

/** The name of a block as an object: its CIDR with `.`, `:` and `/` as `-`. */
export function blockName(cidr: string): string {
  return cidr.replace(/[.:/]/g, "-");
}

/** `%2f` → `/`, then `%25` → `%`. */
export function unescapeName(text: string): string {
  return text.replaceAll("%2f", "/").replaceAll("%25", "%");
}

/** `%` → `%25`, then `/` → `%2f`; for segments of v1 keys and status file names. */
export function escapeName(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("/", "%2f");
}
