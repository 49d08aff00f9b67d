/** What addresses a Service is to have. Source: facts §7.8.1-7.8.3. */
import type { Pool } from "@calico/ipam";
import { err, type Family, formatCidr, formatIp, ok, parseCidr, parseIp, type Result } from "@calico/model";
import { ANNOTATIONS, type AssignMode, asksForAddress, isManaged, type LoadBalancerService } from "./load-balancer-service.ts";

export interface FamilyWish {
  readonly family: Family;
  /** The CIDRs of the pools that were asked for; undefined: whatever pool gives by itself. */
  readonly pools: readonly string[] | undefined;
}

export type Wish =
  /** It is not ours: it is to have no address of ours. */
  | { readonly kind: "nothing" }
  /** All stays as it is: what is asked for cannot be said (`problem`), or nobody asks us. */
  | { readonly kind: "asItIs"; readonly problem: string | undefined }
  | { readonly kind: "addresses"; readonly ips: readonly string[] }
  | { readonly kind: "families"; readonly families: readonly FamilyWish[]; readonly isOneEnough: boolean };

export interface WishInputs {
  readonly mode: AssignMode;
  /** Those whose use is LoadBalancer. */
  readonly pools: readonly Pool[];
}

/**
 * The wish of a Service. A wrong annotation takes nothing away from what the Service has: a typing error must not cut off its clients.
 * Where there is no pool for load balancers, a Service that does not name Calico is somebody else's.
 */
export function wishOf(service: LoadBalancerService, o: WishInputs): Wish {
  if (o.mode === "off") return { kind: "asItIs", problem: undefined };
  if (!isManaged(service, o.mode)) return { kind: "nothing" };
  if (o.pools.length === 0 && !asksForAddress(service)) return { kind: "nothing" };
  const wish = wishAsked(service, o.pools);
  return wish.ok ? wish.value : { kind: "asItIs", problem: wish.error };
}

function wishAsked({ asked, specIp, families, isOneEnough }: LoadBalancerService, pools: readonly Pool[]): Result<Wish, string> {
  const ips = parseTexts(ANNOTATIONS.ips, asked.ips);
  if (!ips.ok) return ips;
  const named = ips.value.length > 0 || specIp === undefined ? ips.value : [specIp];
  if (named.length > 0) return addressesOf(named, ips.value.length > 0 ? `annotation ${ANNOTATIONS.ips}` : "spec.loadBalancerIP");
  const asked4 = poolsOf(ANNOTATIONS.pools4, { text: asked.pools4, family: 4, pools });
  if (!asked4.ok) return asked4;
  const asked6 = poolsOf(ANNOTATIONS.pools6, { text: asked.pools6, family: 6, pools });
  if (!asked6.ok) return asked6;
  const wanted = families.map((family) => ({ family, pools: family === 4 ? asked4.value : asked6.value }));
  return ok({ kind: "families", families: wanted, isOneEnough: isOneEnough && wanted.length > 1 });
}

/** A list of texts in JSON. */
function parseTexts(annotation: string, text: string | undefined): Result<readonly string[], string> {
  if (text === undefined) return ok([]);
  const bad = err(`annotation ${annotation} is ${JSON.stringify(text)}; expected a JSON list of texts, as in ["10.1.0.1"]`);
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every((item) => typeof item === "string") ? ok(list) : bad;
  } catch {
    return bad;
  }
}

function addressesOf(texts: readonly string[], where: string): Result<Wish, string> {
  const ips: string[] = [];
  const count = { 4: 0, 6: 0 };
  for (const text of texts) {
    const ip = parseIp(text);
    if (!ip.ok) return err(`${where}: ${ip.error}`);
    count[ip.value.family]++;
    ips.push(formatIp(ip.value));
  }
  if (count[4] <= 1 && count[6] <= 1) return ok({ kind: "addresses", ips });
  return err(
    `${where}: at max only one ipv4 and one ipv6 address can be specified. Received ${count[4]} ipv4 and ${count[6]} ipv6 addresses`,
  );
}

/** The CIDRs of pools that were named by name or CIDR; undefined if none was. */
function poolsOf(
  annotation: string,
  { text, family, pools }: { readonly text: string | undefined; readonly family: Family; readonly pools: readonly Pool[] },
): Result<readonly string[] | undefined, string> {
  const names = parseTexts(annotation, text);
  if (!names.ok) return names;
  const cidrs: string[] = [];
  for (const name of names.value) {
    const cidr = parseCidr(name);
    const pool = pools.find((p) => (cidr.ok ? formatCidr(p.cidr) === formatCidr(cidr.value) : p.name === name));
    if (pool === undefined)
      return err(`annotation ${annotation}: ${JSON.stringify(name)} is neither name nor CIDR of a pool whose allowedUses has LoadBalancer`);
    if (pool.cidr.family !== family) return err(`annotation ${annotation}: pool ${name} is not of IPv${family}`);
    cidrs.push(formatCidr(pool.cidr));
  }
  return ok(cidrs.length === 0 ? undefined : cidrs);
}
