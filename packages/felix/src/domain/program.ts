/**
 * What one node's kernel should hold, as data: chains, sets, endpoints, tunnels. The graph speaks of it in deltas
 * (work proportional to the change); whoever needs the whole applies the deltas to a Program.
 */
import type { Family } from "./names.ts";

export type TableName = "raw" | "mangle" | "nat" | "filter";
/** The order in which tables are written: a packet meets raw first, so its gates are there first. */
export const TABLES: readonly TableName[] = ["raw", "mangle", "nat", "filter"];

/** One iptables rule without its chain and its mark: matches, then the jump. */
export type Rule = { readonly match?: string; readonly action: string; readonly comments?: readonly string[] };

/** A chain ready for the kernel: each rule's text, shared with like rules of other chains, and its mark; `chainLines` puts them together. */
export type RenderedChain = { readonly name: string; readonly rules: readonly string[]; readonly hashes: readonly string[] };

/** A rule of ours in a chain of the kernel's. */
export type HookRule = { readonly chain: string; readonly where: "top" | "end"; readonly rule: string; readonly hash: string };

export type SetType = "hash:net" | "hash:ip" | "hash:ip,port";

export type ChainChange = { readonly family: Family; readonly table: TableName; readonly name: string; readonly chain?: RenderedChain };
export type HooksChange = { readonly family: Family; readonly table: TableName; readonly hooks: readonly HookRule[] };
export type SetChange = {
  readonly name: string;
  readonly family: Family;
  /** Absent: the set is no longer wanted. */
  readonly type?: SetType;
  readonly add: readonly string[];
  readonly remove: readonly string[];
};

/** A workload of this node as its interface, its addresses and what CNI waits for. */
export type LocalWorkload = {
  readonly iface: string;
  readonly mac?: string;
  /** Addresses with prefix length, `10.0.0.1/32` and `fd00::1/128`. */
  readonly addresses: readonly string[];
  /** True if packets from it may carry any source address in its allowed prefixes: reverse path filter off. */
  readonly spoofing: boolean;
  readonly status: { readonly file: string; readonly body: string };
};
export type WorkloadChange = { readonly key: string; readonly workload?: LocalWorkload };

export type VxlanDevice = {
  readonly name: string;
  readonly vni: number;
  readonly port: number;
  readonly mac: string;
  readonly local: string;
  readonly address: string;
};
export type IpipDevice = { readonly name: string; readonly address: string };
export type Vtep = { readonly node: string; readonly mac: string; readonly tunnelIp: string; readonly hostIp: string };
/** A remote block by VXLAN (`dev` is the tunnel) or, in the same subnet, straight (`dev` absent). */
export type TunnelRoute = { readonly dst: string; readonly via: string; readonly dev?: string };

export type ProgramDelta = {
  readonly chains: readonly ChainChange[];
  readonly hooks: readonly HooksChange[];
  readonly sets: readonly SetChange[];
  readonly workloads: readonly WorkloadChange[];
  readonly vteps: readonly { readonly key: string; readonly value?: Vtep }[];
  readonly routes: readonly { readonly key: string; readonly value?: TunnelRoute }[];
  /** Present when it changed; `device` absent: no such tunnel is wanted. */
  readonly vxlan?: { readonly device?: VxlanDevice; readonly wanted: boolean };
  readonly ipip?: { readonly device?: IpipDevice; readonly wanted: boolean };
  /** Present when it changed: this node's own address. */
  readonly nodeIp?: { readonly ip?: string };
};

export type WantedSet = { readonly family: Family; readonly type: SetType; readonly members: Set<string> };

/** The whole, as the sum of all deltas so far. */
export type Program = {
  /** By `<family> <table>`, then chain name. */
  readonly chains: Map<string, Map<string, RenderedChain>>;
  readonly hooks: Map<string, readonly HookRule[]>;
  readonly sets: Map<string, WantedSet>;
  readonly workloads: Map<string, LocalWorkload>;
  readonly vteps: Map<string, Vtep>;
  readonly routes: Map<string, TunnelRoute>;
  vxlan: VxlanDevice | undefined;
  ipip: IpipDevice | undefined;
  ipipWanted: boolean;
  vxlanWanted: boolean;
  nodeIp: string | undefined;
};

export function emptyProgram(): Program {
  return {
    chains: new Map(),
    hooks: new Map(),
    sets: new Map(),
    workloads: new Map(),
    vteps: new Map(),
    routes: new Map(),
    vxlan: undefined,
    ipip: undefined,
    ipipWanted: false,
    vxlanWanted: false,
    nodeIp: undefined,
  };
}

export const tableKey = (family: Family, table: TableName): string => `${family} ${table}`;

/** Add a delta to the whole. */
export function applyDelta(program: Program, delta: ProgramDelta): void {
  for (const c of delta.chains) {
    const key = tableKey(c.family, c.table);
    const chains = program.chains.get(key) ?? new Map<string, RenderedChain>();
    program.chains.set(key, chains);
    if (c.chain === undefined) chains.delete(c.name);
    else chains.set(c.name, c.chain);
  }
  for (const h of delta.hooks) program.hooks.set(tableKey(h.family, h.table), h.hooks);
  for (const s of delta.sets) applySet(program.sets, s);
  for (const { key, workload } of delta.workloads) put(program.workloads, key, workload);
  for (const { key, value } of delta.vteps) put(program.vteps, key, value);
  for (const { key, value } of delta.routes) put(program.routes, key, value);
  if (delta.vxlan !== undefined) {
    program.vxlan = delta.vxlan.device;
    program.vxlanWanted = delta.vxlan.wanted;
  }
  if (delta.nodeIp !== undefined) program.nodeIp = delta.nodeIp.ip;
  if (delta.ipip !== undefined) {
    program.ipip = delta.ipip.device;
    program.ipipWanted = delta.ipip.wanted;
  }
}

function put<V>(map: Map<string, V>, key: string, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

function applySet(sets: Map<string, WantedSet>, change: SetChange): void {
  if (change.type === undefined) {
    sets.delete(change.name);
    return;
  }
  const set = sets.get(change.name) ?? { family: change.family, type: change.type, members: new Set<string>() };
  sets.set(change.name, set);
  for (const member of change.remove) set.members.delete(member);
  for (const member of change.add) set.members.add(member);
}
