import { deepEqual } from "../domain/deep-equal.ts";
import type { KernelRoute } from "../domain/kernel/desire.ts";
import type { Reachability } from "../domain/kernel/next-hop.ts";
import { NO_REACHABILITY } from "../domain/kernel/next-hop.ts";
import type { KernelChange, RouteKernel, RouteOp, RouteOutcome } from "../ports.ts";

/** A main table that refuses what the kernel refuses: a taken place, a missing route, a device that is not there. */
export interface FakeRouteKernel extends RouteKernel {
  readonly own: Map<string, KernelRoute>;
  /** Destinations that others hold. */
  readonly foreign: Set<string>;
  /** Every write that was done, in order, as text. */
  readonly log: string[];
  reach: Reachability;
  readonly devices: Set<string>;
  /** Tell the listener, as the kernel would. */
  notify(change: KernelChange): void;
}

export function makeFakeRouteKernel(
  options: { readonly reach?: Reachability; readonly devices?: readonly string[] } = {},
): FakeRouteKernel {
  const own = new Map<string, KernelRoute>();
  const foreign = new Set<string>();
  const log: string[] = [];
  const devices = new Set(options.devices ?? ["eth0", "tunl0"]);
  const listeners = new Set<(change: KernelChange) => void>();

  function applyOne(op: RouteOp): RouteOutcome {
    const { dst } = op.route;
    if (op.do === "delete") {
      if (!deepEqual(own.get(dst)?.type, op.route.type)) return { kind: "failed", why: `delete ${dst}: ESRCH` };
      own.delete(dst);
    } else {
      if (op.do === "add" && (own.has(dst) || foreign.has(dst))) return { kind: "exists" };
      const missing = op.route.type === "unicast" ? op.route.hops.find((hop) => !devices.has(hop.dev)) : undefined;
      if (missing !== undefined) return { kind: "failed", why: `${missing.dev}: no such device` };
      if (foreign.has(dst)) throw new Error(`the route ${dst} of someone else would have been overwritten`);
      own.set(dst, op.route);
    }
    log.push(`${op.do} ${describe(op.route)}`);
    return { kind: "done" };
  }

  return {
    own,
    foreign,
    log,
    devices,
    reach: options.reach ?? NO_REACHABILITY,
    async read() {
      return { own: [...own.values()], reach: this.reach };
    },
    apply: async (ops) => ops.map(applyOne),
    async *changes(signal) {
      const queue: KernelChange[] = [];
      let wake = () => {};
      const listener = (change: KernelChange) => {
        queue.push(change);
        wake();
      };
      listeners.add(listener);
      signal.addEventListener("abort", () => wake());
      while (!signal.aborted) {
        const next = queue.shift();
        if (next !== undefined) yield next;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
      listeners.delete(listener);
    },
    notify: (change) => listeners.forEach((listener) => listener(change)),
  };
}

function describe(route: KernelRoute): string {
  if (route.type === "blackhole") return `blackhole ${route.dst}`;
  return `${route.dst} ${route.hops.map((hop) => `via ${hop.via} dev ${hop.dev}${hop.onlink ? " onlink" : ""}`).join(" ")}`;
}
