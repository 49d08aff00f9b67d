/**
 * Which best paths a peer is told of, and with what attributes.
 *
 * Source: RFC 4271 §5.1 and §9.1.3, RFC 4456 §8 and §10; facts §6.2.9 (next hop modes), §6.3.2 (local preference), §6.3.3 and §6.3.4 (filter).
 */
import { cidrCovers, parseCidr } from "@calico/model";
import type { Cidr } from "@calico/model";
import { formatAsPath, prependAs } from "../codec/as-path.ts";
import type { PathAttributes } from "../codec/attribute.ts";
import type { Prefix } from "../codec/prefix.ts";
import type { Path } from "./path.ts";
import { DEFAULT_LOCAL_PREF } from "./best-path.ts";

/** What Calico gives its own routes: 2147483647 less the normal route priority of 1024. Source: facts §6.3.2. */
export const OWN_ROUTE_LOCAL_PREF = 2147483647 - 1024;

export type ExportPeer = {
  readonly id: string;
  readonly localAs: number;
  readonly ibgp: boolean;
  /** Our address on the session: the next hop when it is us. */
  readonly localAddress: string;
  readonly nextHopMode: "auto" | "self" | "keep";
  readonly rrClient: boolean;
  /** Set if we reflect. */
  readonly clusterId?: string;
};

export type ExportRoute = {
  readonly nextHop: string;
  readonly attributes: PathAttributes;
  /** Equal routes have equal signatures. */ readonly signature: string;
};

/** Whether a prefix may leave the node at all, by pools and own blocks. */
export type ExportFilter = (prefix: Prefix) => boolean;

export type ExportFilterInput = {
  readonly pools: readonly { readonly cidr: Cidr; readonly exported: boolean }[];
  readonly ownBlocks: readonly Cidr[];
};

/**
 * Calico's export filter: pools that are disabled or not exported are refused, own blocks go out whole and not in
 * parts, other prefixes only inside of a pool.
 */
export function makeExportFilter({ pools, ownBlocks }: ExportFilterInput): ExportFilter {
  return (prefix) => {
    const parsed = parseCidr(prefix);
    if (!parsed.ok) return false;
    const within = (outer: Cidr) => cidrCovers(outer, parsed.value);
    if (pools.some((pool) => !pool.exported && within(pool.cidr))) return false;
    const block = ownBlocks.find(within);
    if (block !== undefined) return block.len === parsed.value.len;
    return pools.some((pool) => pool.exported && within(pool.cidr));
  };
}

/** The route as told to `peer`, or undefined if the peer is not told. */
export function exportPath(path: Path, peer: ExportPeer): ExportRoute | undefined {
  if (path.from?.peer === peer.id) return undefined;
  const reflected = path.from?.ibgp === true && peer.ibgp;
  if (reflected && (peer.clusterId === undefined || !(path.from.client || peer.rrClient))) return undefined;
  const nextHop = exportNextHop(path, peer);
  const attributes = peer.ibgp ? internalAttributes(path, peer, reflected) : externalAttributes(path, peer);
  return { nextHop, attributes, signature: signatureOf(nextHop, attributes) };
}

function exportNextHop(path: Path, peer: ExportPeer): string {
  if (path.nextHop === undefined || peer.nextHopMode === "self") return peer.localAddress;
  if (peer.nextHopMode === "keep" || peer.ibgp) return path.nextHop;
  return peer.localAddress;
}

function internalAttributes(path: Path, peer: ExportPeer, reflected: boolean): PathAttributes {
  const { attributes, from } = path;
  const localPref = attributes.localPref ?? (from === undefined ? OWN_ROUTE_LOCAL_PREF : DEFAULT_LOCAL_PREF);
  if (!reflected || from === undefined || peer.clusterId === undefined) return { ...attributes, localPref };
  return {
    ...attributes,
    localPref,
    originatorId: attributes.originatorId ?? from.routerId,
    clusterList: [peer.clusterId, ...(attributes.clusterList ?? [])],
  };
}

/** A neighbour's MED is for us alone and goes no further. */
function externalAttributes(path: Path, peer: ExportPeer): PathAttributes {
  const { localPref: _localPref, originatorId: _originator, clusterList: _clusters, med: _med, ...rest } = path.attributes;
  return { ...rest, asPath: prependAs(rest.asPath ?? [], peer.localAs) };
}

function signatureOf(nextHop: string, a: PathAttributes): string {
  const { asPath, unknown, ...rest } = a;
  const raw = unknown?.map((u) => `${u.type}:${u.value.join(".")}`);
  return JSON.stringify([nextHop, formatAsPath(asPath ?? []), asPath?.map((s) => s.type), raw, Object.entries(rest).toSorted()]);
}
