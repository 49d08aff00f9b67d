/**
 * What one peer has been told, so that it is told only what is new.
 *
 * Source: RFC 4271 §3.2, §9.1.3 and §9.2.
 */
import { familyOf } from "../codec/prefix.ts";
import type { Family, Prefix } from "../codec/prefix.ts";
import type { Update } from "../codec/update.ts";
import { exportPath } from "./export.ts";
import type { ExportFilter, ExportPeer, ExportRoute } from "./export.ts";
import type { Path } from "./path.ts";

export interface AdjRibOut {
  /** The updates that bring the peer's view of these prefixes up to date. */
  update(prefixes: Iterable<Prefix>, best: (prefix: Prefix) => Path | undefined, allowed: ExportFilter): readonly Update[];
  /** Forget what the peer was told of a family, so that it is told again. */
  reset(family: Family): void;
  size(): number;
}

export function makeAdjRibOut(peer: ExportPeer, families: readonly Family[]): AdjRibOut {
  const told = new Map<Prefix, string>();
  const routes = new WeakMap<Path, { readonly route: ExportRoute | undefined }>();

  function routeOf(path: Path): ExportRoute | undefined {
    const known = routes.get(path);
    if (known !== undefined) return known.route;
    const route = exportPath(path, peer);
    routes.set(path, { route });
    return route;
  }

  return {
    update(prefixes, best, allowed) {
      const withdrawn: Prefix[] = [];
      const announced = new Map<string, { readonly route: ExportRoute; readonly prefixes: Prefix[] }>();
      for (const prefix of prefixes) {
        if (!families.includes(familyOf(prefix))) continue;
        const path = best(prefix);
        const route = path === undefined ? undefined : routeOf(path);
        if (route === undefined || !allowed(prefix)) {
          if (told.delete(prefix)) withdrawn.push(prefix);
        } else if (told.get(prefix) !== route.signature) {
          told.set(prefix, route.signature);
          const key = `${familyOf(prefix)} ${route.signature}`;
          const group = announced.get(key) ?? { route, prefixes: [] };
          group.prefixes.push(prefix);
          announced.set(key, group);
        }
      }
      return [...withdrawals(withdrawn), ...[...announced.values()].map(announcement)];
    },
    reset(family) {
      for (const prefix of [...told.keys()]) if (familyOf(prefix) === family) told.delete(prefix);
    },
    size: () => told.size,
  };
}

function withdrawals(prefixes: readonly Prefix[]): readonly Update[] {
  if (prefixes.length === 0) return [];
  const unreach = ([4, 6] as const)
    .map((family) => ({ family, prefixes: prefixes.filter((prefix) => familyOf(prefix) === family) }))
    .filter((group) => group.prefixes.length > 0);
  return [{ unreach, reach: [], attributes: {} }];
}

function announcement({ route, prefixes }: { readonly route: ExportRoute; readonly prefixes: readonly Prefix[] }): Update {
  const family = familyOf(prefixes[0] ?? "0.0.0.0/0");
  return { unreach: [], reach: [{ family, nextHop: route.nextHop, prefixes }], attributes: route.attributes };
}
