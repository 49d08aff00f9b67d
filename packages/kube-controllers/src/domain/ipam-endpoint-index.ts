import type { KeyValue } from "@calico/datastore";
import { endpointOf } from "./ipam-gc-census.ts";
import type { Endpoint } from "./ipam-gc.ts";

/** Workload endpoints by address, kept up as their records change. */
export interface EndpointIndex {
  readonly byIp: ReadonlyMap<string, readonly Endpoint[]>;
  /** The addresses that this touched. */
  set(key: string, record: Pick<KeyValue, "key" | "value" | "modRevision" | "createRevision"> | undefined): ReadonlySet<string>;
}

export function makeEndpointIndex(): EndpointIndex {
  const byKey = new Map<string, Endpoint>();
  const byIp = new Map<string, readonly Endpoint[]>();
  return {
    byIp,
    set(key, record) {
      const before = byKey.get(key);
      const next = record === undefined ? undefined : endpointOf(record);
      if (next === undefined) byKey.delete(key);
      else byKey.set(key, next);
      const touched = new Set([...(before?.ips ?? []), ...(next?.ips ?? [])]);
      for (const ip of touched) {
        const others = (byIp.get(ip) ?? []).filter((e) => e.key !== key);
        const now = next?.ips.includes(ip) ? [...others, next] : others;
        if (now.length === 0) byIp.delete(ip);
        else byIp.set(ip, now);
      }
      return touched;
    },
  };
}
