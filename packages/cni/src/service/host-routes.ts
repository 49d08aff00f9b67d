/** The node's routes to its pods' addresses. */
import type { Netlink } from "@calico/linux";
import { CniFault } from "../domain/fault.ts";

export const ROUTE_PROTOCOL = 3;
const ROUTE_METRIC = 1024;

/** One route per address. A route that is there for another device is somebody else's pod. */
export async function addHostRoutes(
  host: Netlink,
  { addresses, hostName: dev }: { readonly addresses: readonly string[]; readonly hostName: string },
): Promise<void> {
  const routes = addresses.map(
    (dst) => ({ dst, type: "unicast", dev, scope: "link", protocol: ROUTE_PROTOCOL, metric: ROUTE_METRIC }) as const,
  );
  const outcomes = await host.apply(routes.map((route) => ({ do: "addRoute", route }) as const));
  for (const [i, outcome] of outcomes.entries()) {
    const route = routes[i];
    if (outcome.ok || route === undefined) continue;
    if (outcome.error.code !== "EEXIST") throw new CniFault("kernel", `cannot add the host route to ${route.dst}`, outcome.error.message);
    const other = (await host.routes({})).find((r) => r.dst === route.dst && r.dev !== dev);
    if (other === undefined) continue;
    const why = `route (Dst: ${other.dst}, Dev: ${other.dev}, Scope: ${other.scope}) already exists for an interface other than '${dev}'`;
    throw new CniFault("kernel", `cannot add the host route to ${route.dst}`, why);
  }
}
