/** The state behind the fake netlink: namespaces with links, addresses, routes, neighbours, FDB entries, rules and listeners. */
import type { FdbEntry, KernelEvent, Link, Neighbour, NetlinkOp, Route, Rule, Scope } from "../ports.ts";

export type FakeLink = Omit<Link, "peerIndex"> & { peer?: { netns: FakeNetns; index: number } };
export type FakeAddress = { index: number; cidr: string; scope: Scope };
/** `indexes`: the devices of its next hops. */
export type FakeRoute = { route: Route; indexes: number[] };

export type FakeNetns = {
  readonly path: string;
  links: FakeLink[];
  addresses: FakeAddress[];
  routes: FakeRoute[];
  neighbours: (Neighbour & { index: number })[];
  fdb: (FdbEntry & { index: number })[];
  rules: Rule[];
  readonly listeners: Set<(event: KernelEvent) => void>;
};

export type InjectedFault = { readonly errno: number; readonly match?: (op: NetlinkOp) => boolean };

export type FakeKernel = {
  /** Link kinds that it knows. Without "ipip", like a kernel without the module. */
  readonly kinds: ReadonlySet<string>;
  readonly namespaces: Map<string, FakeNetns>;
  /** Every change asked for, refused ones too, in order. */
  readonly recorded: { readonly netns: string; readonly op: NetlinkOp }[];
  readonly faults: InjectedFault[];
  nextIndex: number;
};

/** Path of the namespace that `openNetlink()` without a path talks to. */
export const OWN_NETNS = "own";

export function makeFakeKernel(options: { readonly kinds?: readonly string[]; readonly netns?: readonly string[] } = {}): FakeKernel {
  const kernel: FakeKernel = {
    kinds: new Set(options.kinds ?? ["veth", "vxlan", "bridge", "ipip"]),
    namespaces: new Map(),
    recorded: [],
    faults: [],
    nextIndex: 2,
  };
  for (const path of [OWN_NETNS, ...(options.netns ?? [])]) addFakeNetns(kernel, path);
  return kernel;
}

/** A namespace with a `lo` that is down, as a new one has. */
export function addFakeNetns(kernel: FakeKernel, path: string): FakeNetns {
  const lo: FakeLink = { index: 1, name: "lo", up: false, carrier: false, mtu: 65536, mac: "00:00:00:00:00:00", txqlen: 1000 };
  const netns: FakeNetns = { path, links: [lo], addresses: [], routes: [], neighbours: [], fdb: [], rules: [], listeners: new Set() };
  kernel.namespaces.set(path, netns);
  return netns;
}

export function emit(netns: FakeNetns, event: KernelEvent): void {
  for (const listener of netns.listeners) listener(event);
}

/** The link as a dump shows it. Carrier: up, and for a veth the peer is up too. */
export function shownLink(link: FakeLink): Link {
  const { peer, ...rest } = link;
  const peerUp = peer === undefined || peer.netns.links.some((l) => l.index === peer.index && l.up);
  return { ...rest, carrier: link.up && peerUp, peerIndex: peer?.index };
}

export function announce(netns: FakeNetns, link: FakeLink): void {
  emit(netns, { kind: "linkChanged", link: shownLink(link) });
}
