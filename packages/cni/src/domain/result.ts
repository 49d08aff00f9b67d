/**
 * The result of an ADD, in one inner form, and its forms of each spec version.
 *
 * Source: CNI SPEC 0.2.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0 "Result".
 */
import { z } from "zod";
import { CniFault } from "./fault.ts";
import { isAtLeast } from "./version.ts";
import type { CniVersion } from "./version.ts";

const routeSchema = z.looseObject({ dst: z.string(), gw: z.string().optional() });
const legacyIpSchema = z.object({ ip: z.string(), gateway: z.string().optional(), routes: z.array(routeSchema).nullish() });
const resultSchema = z.looseObject({
  interfaces: z
    .array(z.looseObject({ name: z.string(), mac: z.string().optional(), mtu: z.number().optional(), sandbox: z.string().optional() }))
    .nullish(),
  ips: z.array(z.object({ address: z.string(), gateway: z.string().optional(), interface: z.number().optional() })).nullish(),
  routes: z.array(routeSchema).nullish(),
  dns: z.record(z.string(), z.unknown()).nullish(),
  ip4: legacyIpSchema.nullish(),
  ip6: legacyIpSchema.nullish(),
});

export type ResultInterface = { readonly name: string; readonly mac?: string; readonly mtu?: number; readonly sandbox?: string };
export type ResultIp = { readonly address: string; readonly gateway?: string; readonly interface?: number };
export type ResultRoute = { readonly dst: string; readonly gw?: string };
export type CniResult = {
  readonly interfaces: readonly ResultInterface[];
  readonly ips: readonly ResultIp[];
  readonly routes: readonly ResultRoute[];
  readonly dns?: Readonly<Record<string, unknown>>;
};

/** A result of any version, as another plugin printed it or the runtime kept it. */
export function parseResult(json: unknown): CniResult {
  const parsed = resultSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new CniFault("decodeFailure", "failed to decode a result", `${issue?.path.join(".")}: ${issue?.message}`);
  }
  const { interfaces, ips, routes, dns, ip4, ip6 } = parsed.data;
  const legacy = [ip4, ip6].filter((x) => x != null);
  return {
    interfaces: interfaces ?? [],
    ips: ips ?? legacy.map(({ ip, gateway }) => ({ address: ip, ...(gateway === undefined ? {} : { gateway }) })),
    routes: routes ?? legacy.flatMap((x) => x.routes ?? []),
    ...(dns == null ? {} : { dns }),
  };
}

/** The result as the version wants it on standard output. */
export function renderResult(result: CniResult, cniVersion: CniVersion): object {
  const dns = result.dns === undefined ? {} : { dns: result.dns };
  if (!isAtLeast(cniVersion, "0.3.0")) return { cniVersion, ...legacyIps(result), dns: result.dns ?? {} };
  const withFamily = !isAtLeast(cniVersion, "1.0.0");
  const interfaces = result.interfaces.map(({ mtu, ...rest }) => (!withFamily && mtu !== undefined ? { ...rest, mtu } : rest));
  return {
    cniVersion,
    ...(interfaces.length === 0 ? {} : { interfaces }),
    ips: result.ips.map((ip) => (withFamily ? { version: isV6(ip.address) ? "6" : "4", ...ip } : ip)),
    ...(result.routes.length === 0 ? {} : { routes: result.routes }),
    ...(withFamily ? { dns: result.dns ?? {} } : dns),
  };
}

function legacyIps(result: CniResult): object {
  const of = (v6: boolean) => {
    const ip = result.ips.find((i) => isV6(i.address) === v6);
    if (ip === undefined) return undefined;
    const routes = result.routes.filter((r) => isV6(r.dst) === v6);
    return {
      ip: hostCidr(ip.address),
      ...(ip.gateway === undefined ? {} : { gateway: ip.gateway }),
      ...(routes.length === 0 ? {} : { routes }),
    };
  };
  const ip4 = of(false);
  const ip6 = of(true);
  return { ...(ip4 === undefined ? {} : { ip4 }), ...(ip6 === undefined ? {} : { ip6 }) };
}

export function isV6(address: string): boolean {
  return address.includes(":");
}

/** The address alone as a network. */
export function hostCidr(address: string): string {
  return `${address.split("/")[0]}/${isV6(address) ? 128 : 32}`;
}
