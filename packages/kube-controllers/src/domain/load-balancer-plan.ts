/**
 * What is to be done about a Service: a function of the Service, the pools and what IPAM's blocks hold for it now.
 *
 * The order of the writes is part of it: an address is in the status only while it is held, so that none is ever shown by two Services,
 * and whoever dies between two writes leaves a state from which the same function goes on. First what an owner left who is no more
 * (a Service of the same name, deleted since), then what is missing is assigned, then the status, then what is not right goes back.
 *
 * Source: facts §7.8.3-7.8.5.
 */
import type { Pool } from "@calico/ipam";
import { cidrContains, type Family, formatCidr, formatIp, parseIp } from "@calico/model";
import type { Ingress, LoadBalancerService } from "./load-balancer-service.ts";
import { type FamilyWish, type Wish, wishOf, type WishInputs } from "./load-balancer-wish.ts";

/** An address and the handle that holds it. */
export interface Held {
  readonly ip: string;
  readonly handle: string;
}

export type Assign =
  | { readonly kind: "address"; readonly ip: string }
  /** `most`: so many addresses of the family the handle may hold after that, so that nobody gives one twice. */
  | ({ readonly kind: "family"; readonly most: number } & FamilyWish);

export interface LoadBalancerPlan {
  readonly dead: readonly Held[];
  readonly assign: readonly Assign[];
  readonly keep: readonly string[];
  readonly release: readonly Held[];
  /** The Service is ours to serve. */
  readonly isManaged: boolean;
  /** With one address kept or assigned, the others need not be. */
  readonly isOneEnough: boolean;
  /** Nothing of the above is to be done, and the status is right. */
  readonly isDone: boolean;
  /** Why the Service does not say what it wants. */
  readonly problem: string | undefined;
}

export interface PlanInputs extends WishInputs {
  /** `undefined`: there is none of this name. */
  readonly service: LoadBalancerService | undefined;
  /** That of the Service. */
  readonly handle: string | undefined;
  /** All that is held under the Service's name, by whatever handle. */
  readonly held: readonly Held[];
}

export function planOf({ service, handle, held, ...o }: PlanInputs): LoadBalancerPlan {
  const nothing = { dead: [], assign: [], keep: [], release: [], isManaged: false, isOneEnough: false, isDone: true, problem: undefined };
  if (o.mode === "off") return nothing;
  const dead = held.filter((h) => h.handle !== handle);
  if (service === undefined) return { ...nothing, dead, isDone: dead.length === 0 };
  const own = held.filter((h) => h.handle === handle);
  const wish = wishOf(service, o);
  const { keep, assign } = choose(wish, { own: own.map((h) => h.ip), shown: ipsIn(service.ingress), pools: o.pools });
  const release = own.filter((h) => !keep.includes(h.ip));
  const isManaged = wish.kind !== "nothing";
  const ingress = ingressOf(service, { keep, own, pools: isManaged ? o.pools : [] });
  const isQuiet = dead.length === 0 && assign.length === 0 && release.length === 0;
  const problem = wish.kind === "asItIs" ? wish.problem : undefined;
  const isOneEnough = wish.kind === "families" && wish.isOneEnough;
  const isDone = isQuiet && isSameIngress(ingress, service.ingress);
  return { dead, assign, keep, release, isManaged, isOneEnough, isDone, problem };
}

type Choice = Pick<LoadBalancerPlan, "keep" | "assign">;

function choose(
  wish: Wish,
  o: { readonly own: readonly string[]; readonly shown: ReadonlySet<string>; readonly pools: readonly Pool[] },
): Choice {
  if (wish.kind === "nothing") return { keep: [], assign: [] };
  if (wish.kind === "asItIs") return { keep: o.own, assign: [] };
  if (wish.kind === "addresses") {
    const keep = wish.ips.filter((ip) => o.own.includes(ip) && poolOf(o.pools, ip) !== undefined);
    return { keep, assign: wish.ips.filter((ip) => !keep.includes(ip)).map((ip) => ({ kind: "address", ip })) };
  }
  const keep: string[] = [];
  const missing: FamilyWish[] = [];
  for (const family of wish.families) {
    const right = o.own.filter((ip) => isRight(ip, family, o.pools));
    const chosen = right.find((ip) => o.shown.has(ip)) ?? right.toSorted()[0];
    if (chosen === undefined) missing.push(family);
    else keep.push(chosen);
  }
  const most = (family: Family) => o.own.filter((ip) => familyOf(ip) === family).length + 1;
  return { keep, assign: missing.map((m) => ({ kind: "family", ...m, most: most(m.family) })) };
}

/** A pool that does not give by itself any more, or that was not asked for, is wrong; selectors count only when an address is given. */
function isRight(ip: string, { family, pools }: FamilyWish, all: readonly Pool[]): boolean {
  const pool = familyOf(ip) === family ? poolOf(all, ip) : undefined;
  if (pool === undefined) return false;
  return pools === undefined ? pool.automatic : pools.includes(formatCidr(pool.cidr));
}

function poolOf(pools: readonly Pool[], text: string): Pool | undefined {
  const ip = parseIp(text);
  return ip.ok ? pools.find((p) => cidrContains(p.cidr, ip.value)) : undefined;
}

function familyOf(text: string): Family {
  return text.includes(":") ? 6 : 4;
}

/**
 * The status as it is to be: entries of others stay as they are. Ours are those that we hold, and those in our pools, which nobody else
 * gives from: what was released by hand.
 */
export function ingressOf(
  service: LoadBalancerService,
  { keep, own, pools }: { readonly keep: readonly string[]; readonly own: readonly Held[]; readonly pools: readonly Pool[] },
): readonly Ingress[] {
  const ours = (ip: string) => own.some((h) => h.ip === ip) || poolOf(pools, ip) !== undefined;
  const seen = new Set<string>();
  const stays = (entry: Ingress): boolean => {
    const ip = ipOf(entry);
    if (ip === undefined) return true;
    const isFirst = !seen.has(ip);
    seen.add(ip);
    return keep.includes(ip) ? isFirst : !ours(ip);
  };
  return [...service.ingress.filter(stays), ...keep.filter((ip) => !seen.has(ip)).map((ip) => ({ ip }))];
}

/** Entries are taken over as they are or made: the same ones are the same objects. */
export function isSameIngress(a: readonly Ingress[], b: readonly Ingress[]): boolean {
  return a.length === b.length && a.every((entry, i) => entry === b[i]);
}

function ipsIn(ingress: readonly Ingress[]): ReadonlySet<string> {
  return new Set(ingress.flatMap((entry) => ipOf(entry) ?? []));
}

/** The address of an entry as IPAM writes it; undefined for host names and what is no address. */
function ipOf({ ip }: Ingress): string | undefined {
  const parsed = typeof ip === "string" ? parseIp(ip) : undefined;
  return parsed?.ok ? formatIp(parsed.value) : undefined;
}
