/**
 * All paths that are known, by prefix, and which of them are best. Peers' tables and the local table are one structure:
 * a peer's Adj-RIB-In is its paths here, the Loc-RIB is the best set of each prefix.
 *
 * Work is proportional to what changes; only losing a peer walks the table.
 *
 * Source: RFC 4271 §3.2 and §9, RFC 4724 §4.2.
 */
import type { Family, Prefix } from "../codec/prefix.ts";
import { familyOf } from "../codec/prefix.ts";
import { bestPaths } from "./best-path.ts";
import { LOCAL_PATH } from "./path.ts";
import type { Path, PeerId } from "./path.ts";

type Entry = { paths: readonly Path[]; best: readonly Path[] };

export interface Rib {
  announce(prefix: Prefix, path: Path): void;
  withdraw(prefix: Prefix, peer: PeerId): void;
  /** Our own prefixes, whole. */
  setLocal(prefixes: ReadonlySet<Prefix>): void;
  markStale(peer: PeerId, families: readonly Family[]): void;
  /** Forget the peer's stale paths of those families; how many there were. */
  sweepStale(peer: PeerId, families: readonly Family[]): number;
  /** Forget the peer's paths outside of those families, or all of them. */
  drop(peer: PeerId, except?: readonly Family[]): void;
  /** Prefixes whose best set changed since the last call. */
  takeChanged(): ReadonlySet<Prefix>;
  /** The multipath set, best first; empty if there is no path. */
  best(prefix: Prefix): readonly Path[];
  prefixes(): Iterable<Prefix>;
  counts(): { readonly prefixes: number; readonly paths: number; readonly stale: number };
  /** How many paths each peer has given us. */
  pathsOf(): ReadonlyMap<PeerId, number>;
}

export function makeRib(): Rib {
  const table = new Map<Prefix, Entry>();
  let changed = new Set<Prefix>();
  let local: ReadonlySet<Prefix> = new Set();

  /** Put a prefix's paths in place; notes the prefix if its best set is another one now. */
  function settle(prefix: Prefix, paths: readonly Path[]): void {
    const before = table.get(prefix)?.best ?? [];
    const best = bestPaths(paths);
    if (paths.length === 0) table.delete(prefix);
    else table.set(prefix, { paths, best });
    if (best.length !== before.length || best.some((path, i) => path !== before[i])) changed.add(prefix);
  }

  function withoutPeer(prefix: Prefix, peer: PeerId | undefined): readonly Path[] {
    return (table.get(prefix)?.paths ?? []).filter((path) => path.from?.peer !== peer);
  }

  /** Rewrites the peer's path of each prefix of some families; undefined removes it. */
  function rewrite(peer: PeerId, concerns: (family: Family) => boolean, change: (path: Path) => Path | undefined): void {
    for (const [prefix, entry] of [...table]) {
      if (!concerns(familyOf(prefix))) continue;
      const index = entry.paths.findIndex((path) => path.from?.peer === peer);
      const path = entry.paths[index];
      if (path === undefined) continue;
      const next = change(path);
      if (next !== path) settle(prefix, next === undefined ? entry.paths.toSpliced(index, 1) : entry.paths.with(index, next));
    }
  }

  return {
    announce(prefix, path) {
      settle(prefix, [...withoutPeer(prefix, path.from?.peer), path]);
    },
    withdraw(prefix, peer) {
      if (table.has(prefix)) settle(prefix, withoutPeer(prefix, peer));
    },
    setLocal(prefixes) {
      for (const prefix of local) if (!prefixes.has(prefix)) settle(prefix, withoutPeer(prefix, undefined));
      for (const prefix of prefixes) if (!local.has(prefix)) settle(prefix, [...withoutPeer(prefix, undefined), LOCAL_PATH]);
      local = prefixes;
    },
    markStale(peer, families) {
      const stale = new Map<Path, Path>();
      rewrite(
        peer,
        (family) => families.includes(family),
        (path) => {
          if (path.stale) return path;
          const marked = stale.get(path) ?? { ...path, stale: true };
          stale.set(path, marked);
          return marked;
        },
      );
    },
    sweepStale(peer, families) {
      let swept = 0;
      rewrite(
        peer,
        (family) => families.includes(family),
        (path) => {
          if (path.stale) swept++;
          return path.stale ? undefined : path;
        },
      );
      return swept;
    },
    drop(peer, except = []) {
      rewrite(
        peer,
        (family) => !except.includes(family),
        () => undefined,
      );
    },
    takeChanged() {
      const out = changed;
      changed = new Set();
      return out;
    },
    best: (prefix) => table.get(prefix)?.best ?? [],
    prefixes: () => table.keys(),
    counts: () => countTable(table.values(), table.size),
    pathsOf: () => countByPeer(table.values()),
  };
}

function countTable(entries: Iterable<Entry>, prefixes: number) {
  let [paths, stale] = [0, 0];
  for (const entry of entries) {
    paths += entry.paths.length;
    for (const path of entry.paths) if (path.stale) stale++;
  }
  return { prefixes, paths, stale };
}

function countByPeer(entries: Iterable<Entry>): ReadonlyMap<PeerId, number> {
  const counts = new Map<PeerId, number>();
  for (const entry of entries) {
    for (const { from } of entry.paths) if (from) counts.set(from.peer, (counts.get(from.peer) ?? 0) + 1);
  }
  return counts;
}
