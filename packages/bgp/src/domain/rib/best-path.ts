/**
 * Which paths to a prefix are best: rule after rule removes the worse ones. What is left when only the tie breakers
 * remain is the multipath set, ordered by the tie breakers; its first is the best path.
 *
 * Deviation: the interior cost to the next hop is not compared: next hops of a cluster are nodes, all as near.
 *
 * Source: RFC 4271 §9.1.2.2, RFC 4456 §9 (originator and cluster list).
 */
import { asPathLength, neighbourAs } from "../codec/as-path.ts";
import { ip4Number } from "../codec/octets.ts";
import { compareIp, parseIp } from "@calico/model";
import type { Path } from "./path.ts";

export const DEFAULT_LOCAL_PREF = 100;

const ORIGIN_RANK = { igp: 0, egp: 1, incomplete: 2 } as const;

/** Keeps the paths that are least by a number. */
type Rule = { readonly name: string; readonly rank: (path: Path) => number };

const BEFORE_MED: readonly Rule[] = [
  { name: "ours", rank: (p) => (p.from === undefined ? 0 : 1) },
  { name: "local preference", rank: (p) => -(p.attributes.localPref ?? DEFAULT_LOCAL_PREF) },
  { name: "AS path length", rank: (p) => asPathLength(p.attributes.asPath ?? []) },
  { name: "origin", rank: (p) => ORIGIN_RANK[p.attributes.origin ?? "incomplete"] },
];

const AFTER_MED: readonly Rule[] = [{ name: "external over internal", rank: (p) => (p.from?.ibgp === true ? 1 : 0) }];

/** The multipath set, best first. Empty for no paths. */
export function bestPaths(paths: readonly Path[]): readonly Path[] {
  if (paths.length < 2) return paths;
  const upToMed = BEFORE_MED.reduce(least, paths);
  const left = AFTER_MED.reduce(
    least,
    upToMed.filter((path) => !beatenByMed(path, upToMed)),
  );
  return left.length < 2 ? left : left.toSorted(compareTie);
}

function least(paths: readonly Path[], rule: Rule): readonly Path[] {
  if (paths.length < 2) return paths;
  const ranks = paths.map(rule.rank);
  const best = Math.min(...ranks);
  return paths.filter((_, i) => ranks[i] === best);
}

/** MED compares only paths that came from the same neighbouring AS. */
function beatenByMed(path: Path, among: readonly Path[]): boolean {
  const as = neighbourAs(path.attributes.asPath ?? []);
  const med = path.attributes.med ?? 0;
  return among.some((other) => (other.attributes.med ?? 0) < med && neighbourAs(other.attributes.asPath ?? []) === as);
}

function compareTie(a: Path, b: Path): number {
  return (
    identifier(a) - identifier(b) ||
    (a.attributes.clusterList?.length ?? 0) - (b.attributes.clusterList?.length ?? 0) ||
    compareAddress(a.from?.address ?? "0.0.0.0", b.from?.address ?? "0.0.0.0")
  );
}

function identifier(path: Path): number {
  return ip4Number(path.attributes.originatorId ?? path.from?.routerId ?? "0.0.0.0");
}

function compareAddress(a: string, b: string): number {
  const [x, y] = [parseIp(a), parseIp(b)];
  return x.ok && y.ok ? compareIp(x.value, y.value) : a < b ? -1 : a > b ? 1 : 0;
}
