/** The node's routes to its pods' addresses. */
import type { Netlink, Route } from "@calico/linux";
import { CniFault } from "../domain/fault.ts";
import type { Clock } from "../ports.ts";

export const ROUTE_PROTOCOL = 3;
const ROUTE_METRIC = 1024;

/** A device that is being taken away has its route that long. */
const AWAIT_MS = 1000;
const EVERY_MS = 50;

/**
 * One route per address. A route that is there for another device, of whatever metric, is somebody else's pod: packets would go there.
 *
 * Source: calico cni-plugin/pkg/dataplane/linux/dataplane_linux.go (SetupRoutes); facts §3.4.9.
 */
export async function addHostRoutes(
  { host, clock }: { readonly host: Netlink; readonly clock: Clock },
  { addresses, hostName: dev }: { readonly addresses: readonly string[]; readonly hostName: string },
): Promise<void> {
  for (const dst of addresses) await untilFree({ host, clock }, { dst, dev });
  const routes = addresses.map(
    (dst) => ({ dst, type: "unicast", dev, scope: "link", protocol: ROUTE_PROTOCOL, metric: ROUTE_METRIC }) as const,
  );
  const outcomes = await host.apply(routes.map((route) => ({ do: "addRoute", route }) as const));
  for (const [i, outcome] of outcomes.entries()) {
    const route = routes[i];
    if (outcome.ok || route === undefined) continue;
    if (outcome.error.code !== "EEXIST") throw new CniFault("kernel", `cannot add the host route to ${route.dst}`, outcome.error.message);
    const other = (await host.routes({})).find((r) => r.dst === route.dst && r.dev !== dev);
    if (other !== undefined) throw await taken(host, other, dev);
  }
}

type Wanted = { readonly dst: string; readonly dev: string };

async function untilFree({ host, clock }: { readonly host: Netlink; readonly clock: Clock }, { dst, dev }: Wanted): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += EVERY_MS) {
    const route = await host.routeTo(dst.split("/")[0] ?? "");
    if (route?.dst !== dst || route.dev === dev) return;
    if (waitedMs >= AWAIT_MS) throw await taken(host, route, dev);
    await clock.pause(EVERY_MS);
  }
}

async function taken(host: Netlink, { dst, dev, scope, metric = 0 }: Route, wanted: string): Promise<CniFault> {
  const index = dev === undefined ? undefined : (await host.link(dev))?.index;
  const route = `route (Ifindex: ${index ?? 0}, Dst: ${dst}, Scope: ${scope})`;
  const why = `it is over ${dev ?? "several devices"}, metric ${metric}; if no pod has the address, ip route del ${dst} metric ${metric}`;
  return new CniFault(
    "kernel",
    `cannot add the host route to ${dst}`,
    `${route} already exists for an interface other than '${wanted}': ${why}`,
  );
}
