/**
 * Which routes of a peer are taken. Everything is, but what came round to where it started and what nobody can forward to.
 *
 * Source: RFC 4271 §5.1.3 and §9.1.2, RFC 4456 §8; facts §6.3.1 (import all), §6.2.7 (allow local as).
 */
import { containsAs } from "../codec/as-path.ts";
import type { PathAttributes } from "../codec/attribute.ts";

export type ImportRules = {
  readonly localAs: number;
  readonly routerId: string;
  readonly clusterId?: string;
  readonly localAddresses: readonly string[];
  /** How often our own AS may be in a path. */
  readonly allowLocalAs: number;
};

/** Why the routes are not taken; undefined if they are. */
export function refuseImport(attributes: PathAttributes, nextHop: string, rules: ImportRules): string | undefined {
  if (containsAs(attributes.asPath ?? [], rules.localAs) > rules.allowLocalAs) return "AS path holds our own AS";
  if (attributes.originatorId === rules.routerId) return "we are the originator";
  if (rules.clusterId !== undefined && attributes.clusterList?.includes(rules.clusterId)) return "cluster list holds our own cluster id";
  if (rules.localAddresses.includes(nextHop)) return "next hop is our own address";
  return undefined;
}
