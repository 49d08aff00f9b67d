/** Services that wait for an address, and for which: one that becomes free wakes as many as it can serve, in the order in which they came. */
import { cidrContains, parseCidr, parseIp } from "@calico/model";

export type WaitsFor = { readonly ips: readonly string[]; readonly pools: readonly string[] };

export interface Waiting {
  set(service: string, waits: WaitsFor | undefined): void;
  /** Who can go on, now that these are free. */
  wokenBy(freed: readonly string[]): ReadonlySet<string>;
}

export function makeWaiting(): Waiting {
  const waiting = new Map<string, WaitsFor>();
  const canTake = (ip: string, { ips, pools }: WaitsFor) => ips.includes(ip) || pools.some((pool) => contains(pool, ip));
  return {
    set(service, waits) {
      waiting.delete(service);
      if (waits !== undefined) waiting.set(service, waits);
    },
    wokenBy(freed) {
      const woken = new Set<string>();
      for (const ip of freed) {
        for (const [service, waits] of waiting) {
          if (woken.has(service) || !canTake(ip, waits)) continue;
          woken.add(service);
          break;
        }
      }
      return woken;
    },
  };
}

function contains(pool: string, text: string): boolean {
  const [cidr, ip] = [parseCidr(pool), parseIp(text)];
  return cidr.ok && ip.ok && cidrContains(cidr.value, ip.value);
}
