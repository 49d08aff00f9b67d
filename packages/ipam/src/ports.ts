/** What IPAM offers to others, and what it needs of the world besides the datastore. */
import type { Result } from "@calico/model";
import type { HostReserve } from "./domain/block.ts";
import type { IpamConfig } from "./domain/config.ts";
import type { OwnerName } from "./domain/owner-attributes.ts";
import type { Use } from "./domain/pools.ts";

/** Milliseconds since 1970. */
export type Clock = { now(): number };

export type AutoAssignRequest = {
  readonly node: string;
  readonly num4: number;
  readonly num6: number;
  readonly handle?: string;
  readonly attrs?: Readonly<Record<string, string>>;
  /** Pool CIDRs that were asked for; empty or absent: whatever the pools' selectors say. */
  readonly pools4?: readonly string[];
  readonly pools6?: readonly string[];
  readonly use?: Use;
  readonly namespaceLabels?: Readonly<Record<string, string>>;
  /** 0 or absent: the configuration's limit, else 20. */
  readonly maxBlocks?: number;
  /** With this set, a handle never holds more addresses of a family; what it holds already is returned. */
  readonly maxPerHandle?: number;
  /** What of each block that is made for this is the host's own. */
  readonly reserve4?: HostReserve;
  readonly reserve6?: HostReserve;
};

/** `address` carries the mask of the block it is from, as in `192.200.59.193/26`. */
export type AssignedIp = { readonly address: string };

/** Fewer addresses than asked for is no error of the call: `messages` says which limit stood in the way. */
export type FamilyAssignment = { readonly requested: number; readonly ips: readonly AssignedIp[]; readonly messages: readonly string[] };
export type AutoAssignment = { readonly v4: FamilyAssignment; readonly v6: FamilyAssignment };

export type AssignIpRequest = {
  readonly node: string;
  readonly ip: string;
  readonly handle?: string;
  readonly attrs?: Readonly<Record<string, string>>;
  readonly use?: Use;
  readonly maxPerHandle?: number;
};

export type ReleaseIpRequest = { readonly ip: string; readonly handle?: string; readonly sequence?: bigint };
export type ReleaseOutcome = { readonly released: readonly string[]; readonly notAllocated: readonly string[] };

export type IpamError = {
  readonly kind:
    | "invalid" // the request cannot be meant
    | "noPool" // no pool fits
    | "taken" // the address is somebody's, or cooling down
    | "affinity" // strict affinity forbids it
    | "notFound" // no such handle or address
    | "badHandle" // the address is another handle's by now
    | "badSequence" // the address was given again since
    | "limit" // a handle holds as many as it may
    | "notKept" // the configuration says that machines do not keep their addresses
    | "conflict" // others kept writing; try again
    | "corrupt"; // a record in the datastore does not parse
  readonly message: string;
};

/**
 * A pod of a virtual machine comes for the machine's addresses: as the one that has them (`active`), or as the one that is to have them
 * when that one leaves (`alternate`, the target of a live migration). `attrs` names it: `namespace`, `pod`, `node`, `container`, `vmi-uid`.
 */
export type OwnRequest = {
  readonly handle: string;
  readonly role: "active" | "alternate";
  readonly attrs: Readonly<Record<string, string>>;
  /** What the handle had when it was found that the pod may have it; an owner that came since is a `badSequence`. Absent: not compared. */
  readonly seen?: readonly Seen[];
};

/** An address, and which time it was given. */
export type Seen = { readonly ip: string; readonly sequence: bigint | undefined };

/** A container of that pod goes. `isEnding`: so does the machine, and without another owner its addresses are released. */
export type DisownRequest = { readonly handle: string; readonly owner: OwnerName; readonly isEnding: boolean };
export type Disowned = { readonly wasOwner: boolean; readonly released: readonly string[] };

export type Owner = {
  readonly handle: string | undefined;
  readonly attrs: Readonly<Record<string, string>>;
  readonly alternate: Readonly<Record<string, string>>;
  readonly sequence: bigint | undefined;
};

export type BlockUtilization = {
  readonly cidr: string;
  readonly affinity: string | undefined;
  readonly capacity: number;
  readonly free: number;
  readonly reserved: number;
};
/** `pool` is undefined for blocks that lie in no pool. */
export type PoolUtilization = {
  readonly pool: string | undefined;
  readonly cidr: string | undefined;
  readonly capacity: number;
  readonly free: number;
  readonly reserved: number;
  readonly blocks: readonly BlockUtilization[];
};

export type TunnelKind = "ipip" | "vxlan" | "vxlanV6" | "wireguard" | "wireguardV6";
export type TunnelOutcome = { readonly kind: TunnelKind; readonly address: string | undefined; readonly changed: boolean };

/** Address management over the datastore. Faults of the datastore throw; everything a caller can act on is a value. */
export interface Ipam {
  autoAssign(request: AutoAssignRequest): Promise<Result<AutoAssignment, IpamError>>;
  assignIp(request: AssignIpRequest): Promise<Result<AssignedIp, IpamError>>;
  releaseIps(requests: readonly ReleaseIpRequest[]): Promise<Result<ReleaseOutcome, IpamError>>;
  /** All addresses of a handle; `notFound` if there is no such handle. */
  releaseByHandle(handle: string): Promise<Result<readonly string[], IpamError>>;
  ipsByHandle(handle: string): Promise<Result<readonly string[], IpamError>>;
  /** All addresses of the handle get this owner, and are the answer; `notFound` if it has none, `notKept` if machines keep none. */
  own(request: OwnRequest): Promise<Result<readonly string[], IpamError>>;
  /** The addresses of the handle lose this owner and stay the machine's; `notFound` if it has none. */
  disown(request: DisownRequest): Promise<Result<Disowned, IpamError>>;
  /** Who holds an address. */
  ownerOf(ip: string): Promise<Result<Owner, IpamError>>;
  utilization(): Promise<readonly PoolUtilization[]>;
  /** Give back a host's claims; blocks in use stay, without an affinity. */
  releaseHostAffinities(node: string, o?: { readonly mustBeEmpty?: boolean }): Promise<Result<readonly string[], IpamError>>;
  /** Give or take the node's tunnel addresses as the pools ask for, and write them into the Node. */
  ensureTunnelAddresses(node: string): Promise<Result<readonly TunnelOutcome[], IpamError>>;
}

export type OwnerAttributes = { readonly active?: Readonly<Record<string, string>>; readonly alternate?: Readonly<Record<string, string>> };

/**
 * What operators and controllers do besides, on the datastore itself: not offered on the node's socket.
 *
 * Source: calico libcalico-go/lib/ipam/interface.go.
 */
export interface IpamAdmin {
  /** Claim all blocks of a CIDR for a node; those of others are in `failed`. */
  claimAffinity(
    cidr: string,
    node: string,
  ): Promise<Result<{ readonly claimed: readonly string[]; readonly failed: readonly string[] }, IpamError>>;
  /** Give back a node's claims on the blocks of a CIDR. `notEmpty` error of kind "taken" with `mustBeEmpty`. */
  releaseAffinity(cidr: string, node: string, o?: { readonly mustBeEmpty?: boolean }): Promise<Result<readonly string[], IpamError>>;
  /** Give back one block, whoever's it is. */
  releaseBlockAffinity(block: string, o?: { readonly mustBeEmpty?: boolean }): Promise<Result<readonly string[], IpamError>>;
  /** Give back every claim in a pool: before the pool goes. Blocks in use stay, without an affinity. */
  releasePoolAffinities(pool: string): Promise<Result<readonly string[], IpamError>>;
  /** Give back a host's claims, and forget the host. */
  removeHost(node: string): Promise<Result<readonly string[], IpamError>>;
  /** See to it that the node has a block of each family asked for; the answer names one of each. */
  ensureBlock(
    request: Omit<AutoAssignRequest, "num4" | "num6" | "handle" | "attrs"> & { readonly v4: boolean; readonly v6: boolean },
  ): Promise<Result<{ readonly v4: string | undefined; readonly v6: string | undefined }, IpamError>>;
  config(): Promise<Result<IpamConfig, IpamError>>;
  /** Change some fields. The answer says whether something was written. */
  setConfig(change: Partial<IpamConfig>): Promise<Result<{ readonly config: IpamConfig; readonly written: boolean }, IpamError>>;
  /** Put back what has cooled down, in all blocks; the answer is how many addresses. */
  collectCold(): Promise<Result<number, IpamError>>;
  /** Change who an address is said to be for, while it is the handle's. */
  setOwnerAttributes(ip: string, handle: string, attributes: OwnerAttributes): Promise<Result<void, IpamError>>;
}
