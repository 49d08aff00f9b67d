/**
 * A strict netlink without a kernel: refuses what the kernel refuses, with its errno, and does what the kernel does on its own (connected
 * routes, cleaning up after a link that goes down or away). The contract suite runs the same cases against it and a real namespace.
 */
import { cidrContains, err, ok, parseCidr, parseIp } from "@calico/model";
import { ERRNO } from "../domain/errno.ts";
import { NetlinkError } from "../domain/netlink-error.ts";
import { describeOp } from "../domain/op.ts";
import { TABLE_MAIN } from "../domain/protocol.ts";
import { hasNextHop } from "../domain/route-identity.ts";
import type { KernelEvent, Netlink, NetlinkOp, OpResult, Route, RouteFilter } from "../ports.ts";
import { makeFakeKernel, OWN_NETNS, shownLink } from "./fake-kernel.ts";
import type { FakeKernel, FakeNetns } from "./fake-kernel.ts";
import { applyFakeOp, Refusal } from "./fake-netlink-ops.ts";

export type FakeNetlink = Netlink & {
  readonly kernel: FakeKernel;
  /** Changes asked for through any netlink of this kernel, in order. */
  readonly recorded: readonly NetlinkOp[];
  /** Refuse the next change (that matches) with this error. */
  failNext(code: keyof typeof ERRNO, match?: (op: NetlinkOp) => boolean): void;
  /** Tell listeners that events were lost. */
  overrun(): void;
};

/** A netlink of its own new kernel, or of the given kernel and namespace. */
export function makeFakeNetlink(options: { readonly kernel?: FakeKernel; readonly netnsPath?: string } = {}): FakeNetlink {
  const kernel = options.kernel ?? makeFakeKernel();
  const netns = kernel.namespaces.get(options.netnsPath ?? OWN_NETNS);
  if (!netns) throw new Error(`Cannot open network namespace ${options.netnsPath}: the fake kernel has none; use addFakeNetns`);
  const apply = async (ops: readonly NetlinkOp[]): Promise<readonly OpResult[]> => ops.map((op) => applyOne(kernel, netns, op));
  const one = async (op: NetlinkOp): Promise<void> => {
    const [result] = await apply([op]);
    if (result && !result.ok) throw result.error;
  };
  const nameOf = (index: number) => netns.links.find((link) => link.index === index)?.name ?? "";
  const indexOrThrow = (link: string, op: string): number => {
    const found = netns.links.find((l) => l.name === link);
    if (!found) throw new NetlinkError({ op: `${op} of link ${link}`, errno: ERRNO.ENODEV });
    return found.index;
  };

  return {
    kernel,
    get recorded() {
      return kernel.recorded.map((entry) => entry.op);
    },
    failNext: (code, match) => void kernel.faults.push({ errno: ERRNO[code], match }),
    overrun: () => netns.listeners.forEach((listener) => listener({ kind: "overrun" })),
    links: async () => netns.links.map(shownLink),
    async link(name) {
      const found = netns.links.find((link) => link.name === name);
      return found && shownLink(found);
    },
    addLink: (spec) => one({ do: "addLink", spec }),
    setLink: (link, set) => one({ do: "setLink", link, set }),
    deleteLink: (link) => one({ do: "deleteLink", link }),
    async addresses(filter = {}) {
      const index = filter.link === undefined ? undefined : indexOrThrow(filter.link, "list addresses");
      return netns.addresses
        .filter((a) => (index === undefined || a.index === index) && (filter.family === undefined || familyOf(a.cidr) === filter.family))
        .map((a) => ({ link: nameOf(a.index), cidr: a.cidr, scope: a.scope }));
    },
    replaceAddress: (link, cidr, o = {}) => one({ do: "replaceAddress", link, cidr, ...o }),
    deleteAddress: (link, cidr) => one({ do: "deleteAddress", link, cidr }),
    routes: async (filter = {}) => shownRoutes(netns, filter),
    routeTo: async (ip) => bestRoute(netns, ip),
    replaceRoute: (route) => one({ do: "replaceRoute", route }),
    deleteRoute: (route) => one({ do: "deleteRoute", route }),
    async neighbours(link) {
      const index = indexOrThrow(link, "list neighbours");
      return netns.neighbours.filter((n) => n.index === index).map(({ index: _, ...n }) => n);
    },
    replaceNeighbour: (neighbour) => one({ do: "replaceNeighbour", neighbour }),
    deleteNeighbour: (neighbour) => one({ do: "deleteNeighbour", neighbour }),
    async fdb(link) {
      const index = indexOrThrow(link, "list FDB entries");
      return netns.fdb.filter((e) => e.index === index).map(({ index: _, ...e }) => e);
    },
    replaceFdb: (entry) => one({ do: "replaceFdb", entry }),
    deleteFdb: (entry) => one({ do: "deleteFdb", entry }),
    rules: async (family = 4) => netns.rules.filter((rule) => rule.family === family),
    addRule: (rule) => one({ do: "addRule", rule }),
    deleteRule: (rule) => one({ do: "deleteRule", rule }),
    apply,
    changes: (signal, o = {}) => fakeChanges(netns, signal, o.of ?? ["links", "addresses", "routes"]),
    close: () => {},
    [Symbol.dispose]: () => {},
  };
}

function applyOne(kernel: FakeKernel, netns: FakeNetns, op: NetlinkOp): OpResult {
  kernel.recorded.push({ netns: netns.path, op });
  const fault = kernel.faults.findIndex((f) => f.match === undefined || f.match(op));
  try {
    if (fault >= 0) throw new Refusal(kernel.faults.splice(fault, 1)[0]?.errno ?? ERRNO.EIO, "injected fault");
    applyFakeOp(kernel, netns, op);
    return ok(undefined);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return err(new NetlinkError({ op: describeOp(op), errno: error.errno, kernelMessage: error.message || undefined }));
  }
}

function shownRoutes(netns: FakeNetns, filter: RouteFilter): Route[] {
  const link = filter.link === undefined ? undefined : netns.links.find((l) => l.name === filter.link);
  if (filter.link !== undefined && !link) return [];
  return netns.routes
    .filter(({ route, indexes }) => {
      const table = route.table ?? TABLE_MAIN;
      return (
        (filter.table === "all" || table === (filter.table ?? TABLE_MAIN)) &&
        (filter.protocol === undefined || route.protocol === filter.protocol) &&
        (filter.type === undefined || route.type === filter.type) &&
        (filter.family === undefined || familyOf(route.dst) === filter.family) &&
        (link === undefined || indexes.includes(link.index))
      );
    })
    .map(({ route }) => route);
}

/** Of the main table: the longest prefix, then the lowest metric. */
function bestRoute(netns: FakeNetns, ip: string): Route | undefined {
  const address = parseIp(ip);
  if (!address.ok) throw new NetlinkError({ op: `look up the route to ${ip}`, errno: ERRNO.EINVAL, kernelMessage: address.error });
  const lenOf = ({ dst }: Route) => Number(dst.split("/")[1]);
  const holds = ({ dst }: Route) => {
    const cidr = parseCidr(dst);
    return cidr.ok && cidr.value.family === address.value.family && cidrContains(cidr.value, address.value);
  };
  const [best] = shownRoutes(netns, {})
    .filter(holds)
    .toSorted((a, b) => lenOf(b) - lenOf(a) || (a.metric ?? 0) - (b.metric ?? 0));
  return best !== undefined && hasNextHop(best.type) ? best : undefined;
}

export function familyOf(text: string): 4 | 6 {
  return text.includes(":") ? 6 : 4;
}

function fakeChanges(
  netns: FakeNetns,
  signal: AbortSignal,
  of: readonly ("links" | "addresses" | "routes")[],
): AsyncIterable<readonly KernelEvent[]> {
  let waiting: KernelEvent[] = [];
  let wake = () => {};
  const hear = (event: KernelEvent) => {
    if (event.kind !== "overrun" && !of.some((what) => event.kind.startsWith(PREFIX[what]))) return;
    waiting.push(event);
    wake();
  };
  netns.listeners.add(hear);
  signal.addEventListener("abort", () => wake(), { once: true });
  return (async function* () {
    try {
      while (!signal.aborted) {
        if (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        if (signal.aborted || waiting.length === 0) continue;
        const events = waiting;
        waiting = [];
        yield events;
      }
    } finally {
      netns.listeners.delete(hear);
    }
  })();
}

const PREFIX = { links: "link", addresses: "address", routes: "route" } as const;
