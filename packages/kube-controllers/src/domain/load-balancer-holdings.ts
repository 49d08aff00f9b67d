/** What IPAM's blocks hold for Services, kept up block by block. */
import { ownerOf, parseBlock } from "@calico/ipam";
import { formatIp, nthIp } from "@calico/model";
import type { Held } from "./load-balancer-plan.ts";

export interface Holdings {
  /** Addresses held. */
  readonly size: number;
  /** Replace what a block holds; the answer is which Services that touched, and which of its addresses are held no more. */
  setBlock(key: string, value: string | undefined): { readonly touched: ReadonlySet<string>; readonly freed: readonly string[] };
  /** By `namespace/name`. */
  of(service: string): readonly Held[];
  services(): Iterable<string>;
}

type Holding = Held & { readonly service: string };

export function makeHoldings(): Holdings {
  const byBlock = new Map<string, ReadonlyMap<string, Holding>>();
  const byService = new Map<string, readonly Holding[]>();
  let size = 0;
  const change = (service: string, edit: (held: readonly Holding[]) => readonly Holding[]): void => {
    const next = edit(byService.get(service) ?? []);
    if (next.length === 0) byService.delete(service);
    else byService.set(service, next);
  };
  return {
    get size() {
      return size;
    },
    setBlock(key, value) {
      const before = byBlock.get(key) ?? new Map<string, Holding>();
      const now = new Map(holdingsIn(value).map((h) => [h.ip, h]));
      if (now.size === 0) byBlock.delete(key);
      else byBlock.set(key, now);
      const gone = [...before.values()].filter((h) => !isSame(h, now.get(h.ip)));
      const come = [...now.values()].filter((h) => !isSame(h, before.get(h.ip)));
      for (const h of gone) change(h.service, (held) => held.filter((other) => !isSame(other, h)));
      for (const h of come) change(h.service, (held) => [...held, h]);
      size += come.length - gone.length;
      return { touched: new Set([...gone, ...come].map((h) => h.service)), freed: gone.flatMap(({ ip }) => (now.has(ip) ? [] : [ip])) };
    },
    of: (service) => byService.get(service) ?? [],
    services: () => byService.keys(),
  };
}

function isSame(a: Holding, b: Holding | undefined): boolean {
  return a.ip === b?.ip && a.handle === b.handle && a.service === b.service;
}

/** Most blocks are of pods: what does not name such a handle is not parsed. A block that does not parse holds nothing that we could give back. */
function holdingsIn(value: string | undefined): readonly Holding[] {
  if (value?.includes('"lb-') !== true) return [];
  const block = parseBlock(value);
  if (!block.ok) return [];
  return block.value.allocations.flatMap((_, ordinal): Holding[] => {
    const { handleId, secondary } = ownerOf(block.value, ordinal) ?? {};
    const { service, namespace } = secondary ?? {};
    if (!handleId?.startsWith("lb-") || service === undefined || namespace === undefined) return [];
    return [{ ip: formatIp(nthIp(block.value.cidr, ordinal)), handle: handleId, service: `${namespace}/${service}` }];
  });
}
