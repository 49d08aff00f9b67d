/**
 * What the rest of the system asks of a Linux kernel. One interface per kernel facility; the real ones are in
 * adapter/, strict fakes of the same behaviour in testing.ts.
 *
 * Errors: reads and single netlink changes throw (`NetlinkError` for a kernel's refusal, with `code`); a netlink
 * batch, iptables and ipset restores return their failures as values, because their callers branch on them.
 */
import type { Result } from "@calico/model";
import type { NetlinkError } from "./domain/netlink-error.ts";

/** Path of a network namespace: `/run/netns/NAME`, `/proc/PID/ns/net`, or what CNI_NETNS says. */
export type NetnsPath = string;

// ---- links -------------------------------------------------------------------------------------------------------

export type Link = {
  readonly index: number;
  readonly name: string;
  /** The kernel's link kind: `veth`, `vxlan`, `ipip`, `bridge`, …; undefined for `lo` and hardware. */
  readonly kind?: string;
  /** IFF_UP: somebody set it up. */
  readonly up: boolean;
  /** IFF_LOWER_UP: it has carrier. Traffic flows when `up` and `carrier`. */
  readonly carrier: boolean;
  readonly mtu: number;
  /** `ee:ee:ee:ee:ee:ee`; undefined for devices without a MAC (tunl0). */
  readonly mac?: string;
  readonly txqlen: number;
  /** Index of the bridge (or other master) that holds it. */
  readonly master?: number;
  /** Index of the veth peer (in the peer's namespace) or of the device underneath. */
  readonly peerIndex?: number;
  /** For kind vxlan. */
  readonly vxlan?: VxlanOptions;
};

export type VxlanOptions = {
  readonly vni: number;
  readonly port: number;
  /** Source address of the tunnel's packets. */
  readonly local?: string;
  /** Whether it learns FDB entries from traffic. Calico's does not. */
  readonly learning: boolean;
  /** Index of the device underneath. */
  readonly underIndex?: number;
};

type LinkBasics = {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly txqlen?: number;
  readonly numTxQueues?: number;
  readonly numRxQueues?: number;
  /** Set up at once. */
  readonly up?: boolean;
};

/** The kernel refuses to make a veth peer that is up (ENOTCONN): set it up afterwards, in its namespace. */
export type VethPeer = Omit<LinkBasics, "up"> & {
  /** Where the peer is made; default: the socket's own namespace. */
  readonly netns?: NetnsPath;
};

export type LinkSpec =
  | (LinkBasics & { readonly kind: "veth"; readonly peer: VethPeer })
  | (LinkBasics & {
      readonly kind: "vxlan";
      readonly vni: number;
      readonly port: number;
      readonly local?: string;
      /** Name of the device underneath. */
      readonly dev?: string;
      /** Default false. */
      readonly learning?: boolean;
    })
  | (LinkBasics & { readonly kind: "ipip"; readonly local?: string; readonly remote?: string; readonly ttl?: number })
  | (LinkBasics & { readonly kind: "bridge" });

export type LinkChange = {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
  readonly txqlen?: number;
  /** New name. The device must be down (EBUSY otherwise, before Linux 6.2). */
  readonly name?: string;
  /** Move into this namespace. */
  readonly netns?: NetnsPath;
  /** Name of the bridge to put it in; `""` takes it out. */
  readonly master?: string;
};

// ---- addresses, routes, neighbours, rules --------------------------------------------------------------------------

export type Scope = "global" | "site" | "link" | "host" | "nowhere";

export type Address = {
  readonly link: string;
  /** Address with its prefix length, host bits kept: `10.0.2.6/24`. */
  readonly cidr: string;
  readonly scope: Scope;
};

export type AddressOptions = {
  /** Default: global. */
  readonly scope?: Scope;
  /** IPv6: usable at once, without duplicate address detection. */
  readonly nodad?: boolean;
};

export type RouteType = "unicast" | "local" | "broadcast" | "multicast" | "blackhole" | "unreachable" | "prohibit" | "throw";

export type NextHop = { readonly via?: string; readonly dev: string; readonly weight?: number; readonly onlink?: boolean };

/**
 * One route. The family is that of `dst`. The same shape goes in and comes out; compare with `sameRoute`, which knows
 * the kernel's defaults, and index by `routeKey`.
 */
export type Route = {
  /** `10.1.0.0/26`, `fd00::/122`; `0.0.0.0/0` is the default route. */
  readonly dst: string;
  readonly type: RouteType;
  /** Gateway, of either family for an IPv4 route. */
  readonly via?: string;
  readonly dev?: string;
  /** Default: link for a unicast IPv4 route without a gateway, else global. IPv6 has none. */
  readonly scope?: Scope;
  /** Who made it: 2 kernel, 3 boot, 4 static, 80 calico, 179 calico-bgp. */
  readonly protocol: number;
  /** Default 254, main. */
  readonly table?: number;
  /** Priority. Default 0; the kernel makes 1024 of it for IPv6. */
  readonly metric?: number;
  /** Believe that the gateway is on `dev` even if no address says so. */
  readonly onlink?: boolean;
  /** Preferred source address. */
  readonly src?: string;
  readonly mtu?: number;
  /** More than one next hop; then without via and dev. */
  readonly multipath?: readonly NextHop[];
};

export type RouteFilter = {
  /** Default: main (254). `"all"` for every table. */
  readonly table?: number | "all";
  readonly protocol?: number;
  /** Name of the output device. A missing device gives an empty list. */
  readonly link?: string;
  readonly type?: RouteType;
  /** Default: both. */
  readonly family?: 4 | 6;
};

/** What names a route for deletion: as much as is given must match, as with `ip route del`. */
export type RouteRef = Pick<Route, "dst"> & Partial<Omit<Route, "dst" | "mtu" | "src">>;

export type NeighbourState = "permanent" | "noarp" | "reachable" | "stale" | "delay" | "probe" | "failed" | "incomplete" | "none";

export type Neighbour = {
  readonly link: string;
  readonly ip: string;
  /** Undefined while unresolved and for proxy entries. */
  readonly mac?: string;
  /** Default when written: permanent. */
  readonly state?: NeighbourState;
  /** A proxy entry: answer for this address on that link. */
  readonly proxy?: boolean;
};

export type FdbEntry = {
  readonly link: string;
  readonly mac: string;
  /** Remote tunnel end, for VXLAN. */
  readonly dst?: string;
  /** Default when written: permanent. */
  readonly state?: NeighbourState;
};

export type Rule = {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  readonly src?: string;
  readonly dst?: string;
  readonly iif?: string;
  readonly mark?: number;
  readonly mask?: number;
};

// ---- netlink -------------------------------------------------------------------------------------------------------

/** One change of a batch. `replace…` makes or overwrites; `addRoute` fails with EEXIST. */
export type NetlinkOp =
  | { readonly do: "addLink"; readonly spec: LinkSpec }
  | { readonly do: "setLink"; readonly link: string; readonly set: LinkChange }
  | { readonly do: "deleteLink"; readonly link: string }
  | { readonly do: "replaceAddress"; readonly link: string; readonly cidr: string; readonly scope?: Scope; readonly nodad?: boolean }
  | { readonly do: "deleteAddress"; readonly link: string; readonly cidr: string }
  | { readonly do: "addRoute"; readonly route: Route }
  | { readonly do: "replaceRoute"; readonly route: Route }
  | { readonly do: "deleteRoute"; readonly route: RouteRef }
  | { readonly do: "replaceNeighbour"; readonly neighbour: Neighbour }
  | { readonly do: "deleteNeighbour"; readonly neighbour: Pick<Neighbour, "link" | "ip" | "proxy"> }
  | { readonly do: "replaceFdb"; readonly entry: FdbEntry }
  | { readonly do: "deleteFdb"; readonly entry: Pick<FdbEntry, "link" | "mac" | "dst"> }
  | { readonly do: "addRule"; readonly rule: Rule }
  | { readonly do: "deleteRule"; readonly rule: Rule };

export type OpResult = Result<void, NetlinkError>;

export type KernelEvent =
  | { readonly kind: "linkChanged"; readonly link: Link }
  | { readonly kind: "linkRemoved"; readonly index: number; readonly name: string }
  | { readonly kind: "addressChanged"; readonly address: Address }
  | { readonly kind: "addressRemoved"; readonly address: Address }
  | { readonly kind: "routeChanged"; readonly route: Route }
  | { readonly kind: "routeRemoved"; readonly route: Route }
  /** The socket overran and events are lost: read everything again. */
  | { readonly kind: "overrun" };

export type ChangesOptions = {
  /** Default: all three. Leave out routes where a flood of them is normal and unwanted. */
  readonly of?: readonly ("links" | "addresses" | "routes")[];
};

/**
 * rtnetlink in one namespace. Every request but `deleteLink` is answered by the kernel before the call returns, so calls of one process
 * happen in the order they were made. Single changes throw `NetlinkError`.
 */
export interface Netlink extends Disposable {
  links(): Promise<readonly Link[]>;
  /** One link, or undefined if there is none of that name. */
  link(name: string): Promise<Link | undefined>;
  addLink(spec: LinkSpec): Promise<void>;
  setLink(link: string, set: LinkChange): Promise<void>;
  /** The kernel takes tens of milliseconds for it. Unlike `apply`, this keeps no other call waiting: on return it is under way, when it resolves done. */
  deleteLink(link: string): Promise<void>;

  addresses(filter?: { readonly link?: string; readonly family?: 4 | 6 }): Promise<readonly Address[]>;
  replaceAddress(link: string, cidr: string, options?: AddressOptions): Promise<void>;
  deleteAddress(link: string, cidr: string): Promise<void>;

  routes(filter?: RouteFilter): Promise<readonly Route[]>;
  /** The route, as it stands in its table, that the node's own packets to the address take; undefined if none does, or it discards them. */
  routeTo(ip: string): Promise<Route | undefined>;
  replaceRoute(route: Route): Promise<void>;
  deleteRoute(route: RouteRef): Promise<void>;

  /** Entries of one link, proxy entries too. A missing link throws ENODEV. */
  neighbours(link: string): Promise<readonly Neighbour[]>;
  replaceNeighbour(neighbour: Neighbour): Promise<void>;
  deleteNeighbour(neighbour: Pick<Neighbour, "link" | "ip" | "proxy">): Promise<void>;
  fdb(link: string): Promise<readonly FdbEntry[]>;
  replaceFdb(entry: FdbEntry): Promise<void>;
  deleteFdb(entry: Pick<FdbEntry, "link" | "mac" | "dst">): Promise<void>;

  rules(family?: 4 | 6): Promise<readonly Rule[]>;
  addRule(rule: Rule): Promise<void>;
  deleteRule(rule: Rule): Promise<void>;

  /** Many changes in few system calls, in order, each with its own outcome; a failure does not stop the rest. */
  apply(ops: readonly NetlinkOp[]): Promise<readonly OpResult[]>;

  /**
   * What happens to links, addresses and routes from this call on (not from the first `next()`), in batches: call it,
   * then read the current state, then iterate. Delay at most 100 ms. Ends when the signal aborts.
   */
  changes(signal: AbortSignal, options?: ChangesOptions): AsyncIterable<readonly KernelEvent[]>;

  close(): void;
}

// ---- iptables, ipset -----------------------------------------------------------------------------------------------

export type IptablesBackend = "nft" | "legacy";
export type IptablesTable = "filter" | "nat" | "mangle" | "raw";

export type IptablesError = {
  readonly kind: "refused" | "timedOut" | "notInstalled";
  /** 1-based line of the restore text that was refused, when iptables said. */
  readonly line?: number;
  /** That line. For a failure that shows only at COMMIT, the COMMIT line. */
  readonly text?: string;
  /** All that iptables printed, with what to do. */
  readonly message: string;
};

/** iptables-save and iptables-restore of one family in one namespace. */
export interface Iptables {
  readonly family: 4 | 6;
  /** The back end in use; with "auto" found at the first call. */
  backend(): Promise<IptablesBackend>;
  /** Text of `iptables-save -t TABLE`; throws if it fails. */
  save(table: IptablesTable): Promise<string>;
  /**
   * Apply restore text of one or more tables, each ending in COMMIT. A table is applied whole or not at all; an earlier
   * table of the same text stays applied. Chains declared `:NAME - [0:0]` are made, or flushed if they exist.
   */
  restore(text: string, options: { readonly noflush: true }): Promise<Result<void, IptablesError>>;
}

export type IpsetError = {
  readonly kind: "refused" | "timedOut" | "notInstalled";
  readonly line?: number;
  readonly text?: string;
  readonly message: string;
};

export type IpsetInfo = {
  readonly name: string;
  /** `hash:ip`, `hash:net`, `hash:ip,port`, … */
  readonly type: string;
  readonly family?: "inet" | "inet6";
  readonly maxelem?: number;
  /** As ipset prints them (`10.0.0.1`, `10.0.0.1,tcp:80`), sorted; a comment or timeout is not part of it. */
  readonly members: readonly string[];
};

/** ipset in one namespace. */
export interface Ipset {
  /**
   * Run an `ipset restore` script (`create|add|del|flush|swap|destroy` lines) with -exist: making what exists and deleting what does not are
   * no errors. Not atomic: some of the lines before the refused one are applied.
   */
  restore(script: string): Promise<Result<void, IpsetError>>;
  /** Every set, or only the one named (empty list if there is none). */
  list(name?: string): Promise<readonly IpsetInfo[]>;
  names(): Promise<readonly string[]>;
}
