/** Assignment of one given address. Source: calico libcalico-go/lib/ipam/ipam.go (AssignIP). */
import { cidrContains, cidrOf, formatCidr, formatIp, ordinalOf, parseCidr, parseIp, parseKey } from "@calico/model";
import type { Cidr, Ip } from "@calico/model";
import { claimantText } from "../domain/affinity.ts";
import type { Claimant } from "../domain/affinity.ts";
import { poolOfIp } from "../domain/pools.ts";
import type { Pool } from "../domain/pools.ts";
import type { AssignedIp, AssignIpRequest } from "../ports.ts";
import { claimBlock } from "./claim.ts";
import { noPoolFault } from "./facts.ts";
import type { Facts } from "./facts.ts";
import { IpamFault } from "./fault.ts";
import { giveOne } from "./give.ts";
import type { GivePorts } from "./give.ts";

/** The address with its full length as mask. Reservations do not stand against an address that is asked for. */
export async function assignIp(ports: GivePorts, o: { readonly request: AssignIpRequest; readonly facts: Facts }): Promise<AssignedIp> {
  const { request, facts } = o;
  const ip = addressOf(request.ip);
  const pool = usablePool(facts, ip, request);
  const cidr = cidrOf(ip, pool.blockLen);
  const claimant: Claimant =
    request.use === "LoadBalancer" ? { type: "virtual", name: "load-balancer" } : { type: "host", name: request.node };
  const affinity = facts.config.strictAffinity ? claimantText(claimant) : undefined;
  const give = (block: Cidr) =>
    giveOne(ports, {
      cidr: block,
      ordinal: ordinalOf(block, ip),
      owner: { handleId: request.handle, attrs: request.attrs ?? {} },
      cooldownSec: facts.config.cooldownSec,
      affinity,
      maxPerHandle: request.maxPerHandle,
    });
  let outcome = await give(cidr);
  if (outcome === "missing") {
    await claimBlock(ports, cidr, claimant);
    outcome = await give(cidr);
  }
  if (outcome === "missing") outcome = await fromOtherSize(ports, { ip, cidr, give });
  if (outcome === "given") return { address: `${formatIp(ip)}/${ip.family === 4 ? 32 : 128}` };
  if (outcome === "taken") throw new IpamFault("taken", `Address already assigned in block: ${request.ip}`);
  if (outcome === "foreign")
    throw new IpamFault("affinity", `Block host affinity does not match: ${request.ip} is in another host's block and affinity is strict`);
  if (outcome === "orphan") throw new IpamFault("affinity", `Attempt to assign from block ${formatCidr(cidr)} with no affinity`);
  throw new IpamFault("conflict", `Cannot assign ${request.ip}: its block was removed again at once; try again`);
}

type Outcome = Awaited<ReturnType<typeof giveOne>>;

/** The pool's block cannot be made because one of another size is there: the address is from that one, or from none. */
async function fromOtherSize(
  { records }: GivePorts,
  o: { readonly ip: Ip; readonly cidr: Cidr; readonly give: (block: Cidr) => Promise<Outcome> },
): Promise<Outcome> {
  const { overlap } = await records.around(o.cidr, { thorough: true });
  if (overlap === undefined) return "missing";
  const other = parseCidr(parseKey(overlap)?.cidr ?? "");
  if (other.ok && cidrContains(other.value, o.ip)) return await o.give(other.value);
  const name = other.ok ? formatCidr(other.value) : overlap;
  throw new IpamFault(
    "conflict",
    `Cannot assign ${formatIp(o.ip)}: its block ${formatCidr(o.cidr)} cannot be made while there is ${name}; release what is in that`,
  );
}

export function addressOf(text: string): Ip {
  const ip = parseIp(text);
  if (!ip.ok) throw new IpamFault("invalid", ip.error);
  return ip.value;
}

function usablePool(facts: Facts, ip: Ip, request: AssignIpRequest): Pool {
  const use = request.use ?? "Workload";
  const pool = poolOfIp(
    facts.pools.filter((p) => !p.disabled),
    ip,
  );
  if (pool === undefined) throw noPoolFault(`The provided IP address is not in a configured pool: ${request.ip}`, facts);
  if (!pool.uses.includes(use))
    throw new IpamFault("noPool", `The pool ${pool.name} of ${request.ip} is not for use ${use}, only ${pool.uses.join(", ")}`);
  return pool;
}
