/** The kernel's main routing table by netlink, as the speaker's port. Only routes of our protocol are ever written. */
import { describeRoute } from "@calico/linux";
import type { KernelEvent, Netlink, NetlinkOp, OpResult, Route } from "@calico/linux";
import { BGP_PROTOCOL } from "../domain/kernel/desire.ts";
import type { KernelRoute } from "../domain/kernel/desire.ts";
import { deriveReachability } from "../domain/kernel/next-hop.ts";
import type { KernelChange, RouteKernel, RouteOp, RouteOutcome } from "../ports.ts";

export function netlinkKernel(netlink: Netlink): RouteKernel {
  return {
    async read() {
      const [links, addresses, routes] = [
        await netlink.links(),
        await netlink.addresses({ family: 4 }),
        await netlink.routes({ family: 4 }),
      ];
      const usable = new Set(links.filter((link) => link.up).map((link) => link.name));
      return {
        own: routes.flatMap((route) => (route.protocol === BGP_PROTOCOL ? (fromKernel(route) ?? []) : [])),
        reach: deriveReachability(addresses, routes, usable, BGP_PROTOCOL),
      };
    },
    async apply(ops) {
      const results = await netlink.apply(ops.map(toNetlink));
      return results.map((result, i) => outcomeOf(result, ops[i]));
    },
    changes: (signal) => changesOf(netlink.changes(signal)),
  };
}

async function* changesOf(events: AsyncIterable<readonly KernelEvent[]>): AsyncIterable<KernelChange> {
  for await (const batch of events) {
    const gone = batch.flatMap((event) =>
      event.kind === "routeRemoved" && event.route.protocol === BGP_PROTOCOL ? [event.route.dst] : [],
    );
    yield { view: batch.some(changesView), gone };
  }
}

/** Pods' own routes come and go all the time and lead to no next hop. */
function changesView(event: KernelEvent): boolean {
  if (event.kind !== "routeChanged" && event.kind !== "routeRemoved") return true;
  const { protocol, via, dev, table = 254 } = event.route;
  return protocol !== BGP_PROTOCOL && table === 254 && !(via === undefined && dev?.startsWith("cali") === true);
}

function toKernel(route: KernelRoute): Route {
  const common = { dst: route.dst, protocol: BGP_PROTOCOL };
  if (route.type === "blackhole") return { ...common, type: "blackhole" };
  const [hop, ...more] = route.hops;
  return more.length === 0 ? { ...common, type: "unicast", ...hop } : { ...common, type: "unicast", multipath: route.hops };
}

/** Undefined for a shape that we never write: it is read as different from anything wanted, and replaced. */
function fromKernel(route: Route): KernelRoute | undefined {
  const { dst } = route;
  if (route.type === "blackhole") return { dst, type: "blackhole" };
  const hops = route.multipath ?? [{ via: route.via, dev: route.dev ?? "", onlink: route.onlink }];
  return {
    dst,
    type: "unicast",
    hops: hops.map(({ via, dev, onlink }) => ({ via: via ?? "", dev, ...(onlink ? { onlink: true as const } : {}) })),
  };
}

function toNetlink(op: RouteOp): NetlinkOp {
  switch (op.do) {
    case "add":
      return { do: "addRoute", route: toKernel(op.route) };
    case "replace":
      return { do: "replaceRoute", route: toKernel(op.route) };
    case "delete":
      return { do: "deleteRoute", route: { dst: op.route.dst, protocol: BGP_PROTOCOL, type: op.route.type } };
  }
}

/** A route that is gone already is as good as deleted. */
function outcomeOf(result: OpResult | undefined, op: RouteOp | undefined): RouteOutcome {
  if (result === undefined || op === undefined) return { kind: "failed", why: "the kernel did not answer" };
  if (result.ok) return { kind: "done" };
  const { code } = result.error;
  if (op.do === "delete" && (code === "ESRCH" || code === "ENODEV")) return { kind: "done" };
  if (op.do === "add" && code === "EEXIST") return { kind: "exists" };
  return { kind: "failed", why: `${describeRoute(toKernel(op.route))}: ${result.error.message}` };
}
