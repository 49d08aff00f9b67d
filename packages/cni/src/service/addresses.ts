/** Which addresses a pod gets: what its annotations ask for, past IPAM or through it. Source: facts §3.5. */
import { CniFault } from "../domain/fault.ts";
import type { Wishes } from "../domain/annotations.ts";
import { flagOf } from "../domain/netconf.ts";
import type { Netconf } from "../domain/netconf.ts";
import { hostCidr } from "../domain/result.ts";
import type { CniResult } from "../domain/result.ts";
import type { Ports } from "../ports.ts";
import { delegateAdd } from "./delegate.ts";
import type { Delegation } from "./delegate.ts";
import type { Families } from "./wiring.ts";

/** What fails halfway is the caller's to give back: everything is under the container's handle. */
export async function assignAddresses(ports: Ports, d: Delegation, wishes: Wishes): Promise<CniResult> {
  const { addresses } = wishes;
  if (addresses === undefined) return await delegateAdd(ports, { ...d, conf: asWished(d.conf, wishes) });
  if (addresses.pastIpam) return resultOf(addresses.ips);
  const got: CniResult[] = [];
  for (const ip of addresses.ips) {
    const argsText = [d.call.argsText, `IP=${ip}`].filter((s) => s !== "").join(";");
    const result = await delegateAdd(ports, { ...d, call: { ...d.call, argsText, args: new Map([...d.call.args, ["IP", ip]]) } });
    if (!result.ips.some((i) => i.address.split("/")[0] === ip))
      throw new CniFault("delegate", `IPAM plugin ${d.conf.ipam?.type} did not give the address ${ip} that an annotation asks for`);
    got.push(result);
  }
  return { interfaces: [], ips: got.flatMap((r) => r.ips), routes: got.flatMap((r) => r.routes) };
}

function resultOf(ips: readonly string[]): CniResult {
  const addresses = ips.map(hostCidr);
  return { interfaces: [], ips: addresses.map((address) => ({ address })), routes: addresses.map((dst) => ({ dst })) };
}

/** The families that `assignAddresses` gives addresses of, all or none; undefined: only what it asks knows. */
export function expectedFamilies(conf: Netconf, { addresses, families }: Wishes): Families | undefined {
  if (conf.ipam?.type !== "calico-ipam" || addresses !== undefined) return undefined;
  const { assign_ipv4, assign_ipv6 } = conf.ipam;
  return families ?? { v4: flagOf("assign_ipv4", assign_ipv4, true), v6: flagOf("assign_ipv6", assign_ipv6, false) };
}

/** The configuration with pools and families as the annotations say, also in what a delegated plugin gets to read. */
function asWished(conf: Netconf, { pools4, pools6, families }: Wishes): Netconf {
  const changes = {
    ...(families === undefined ? {} : { assign_ipv4: String(families.v4), assign_ipv6: String(families.v6) }),
    ...(pools4 === undefined ? {} : { ipv4_pools: [...pools4] }),
    ...(pools6 === undefined ? {} : { ipv6_pools: [...pools6] }),
  };
  if (Object.keys(changes).length === 0) return conf;
  const raw = { ...conf.raw, ipam: { ...(conf.raw["ipam"] as object), ...changes } };
  return { ...conf, ipam: { ...conf.ipam, ...changes }, raw };
}
