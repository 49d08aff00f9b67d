/**
 * The way from a packet's address to its service: a tree of chains over the bits of the cluster IPs, four bits a level.
 *
 * A flat list costs every new connection one comparison per service port. Here a chain that would hold more than LEAF entries has one rule per
 * sixteenth of its network, so a lookup passes tens of rules with thousands of services, and a change rewrites only the chains above its address.
 * The tree is a function of the set of entries; levels where all entries go the same way are skipped.
 */
import { cidrOf, familyBits, formatCidr, formatIp, type Cidr, type Ip } from "@calico/model";
import { makeChain, type Chain, type ChainRef, type Rule } from "./chain.ts";
import { branchChain, type Family, type TableName } from "./names.ts";
import type { Protocol } from "./service.ts";

/** To `target` (`-j CHAIN`, `-j REJECT`) with what is addressed to this port. */
export interface DispatchEntry {
  readonly ip: Ip;
  readonly protocol: Protocol;
  readonly port: number;
  readonly target: string;
  readonly why: string;
}

const LEAF = 4;
const STEP = 4;

export interface Dispatch {
  put(owner: string, entries: readonly DispatchEntry[]): void;
  /** The chains that `put` has changed since the last flush: new text, or gone. */
  flush(): { readonly set: readonly Chain[]; readonly remove: readonly ChainRef[] };
}

/** A dispatch tree below the chain `root`. Its other chains are named after root and network. */
export function makeDispatch(at: {
  readonly family: Family;
  readonly table: TableName;
  readonly root: string;
  readonly branch: string;
}): Dispatch {
  const owned = new Map<string, readonly DispatchEntry[]>();
  const nodes = new Map<string, Map<string, DispatchEntry>>();
  const dirty = new Map<string, Cidr>([["/0", { family: at.family, value: 0n, len: 0 }]]);
  const rendered = new Set<string>();

  function touch(entry: DispatchEntry, change: (node: Map<string, DispatchEntry>) => void): void {
    for (let len = 0; len <= familyBits(at.family); len += STEP) {
      const net = cidrOf(entry.ip, len);
      const key = netKey(net);
      const node = nodes.get(key) ?? new Map<string, DispatchEntry>();
      change(node);
      if (node.size === 0) nodes.delete(key);
      else nodes.set(key, node);
      dirty.set(key, net);
    }
  }

  const size = (net: Cidr) => nodes.get(netKey(net))?.size ?? 0;
  const isBranch = (net: Cidr) => net.len === 0 || (size(net) > LEAF && net.len < familyBits(at.family) && !isSkipped(net));
  /** All entries go into one child: the parent refers to that child instead. */
  const isSkipped = (net: Cidr) => onlyChild(net) !== undefined;
  const onlyChild = (net: Cidr) => children(net).find((c) => size(c) === size(net));

  function descend(net: Cidr): Cidr {
    for (let at = net; ;) {
      const next = at.len < familyBits(at.family) ? onlyChild(at) : undefined;
      if (next === undefined) return at;
      at = next;
    }
  }

  function rulesOf(net: Cidr): readonly Rule[] {
    if (size(net) === 0) return [];
    if (size(net) <= LEAF) return listed(net);
    return children(net).flatMap((child): readonly Rule[] => {
      if (size(child) <= LEAF) return listed(child);
      const to = descend(child);
      if (to.len === familyBits(at.family)) return listed(to);
      return [{ body: `-d ${formatCidr(to)} -g ${chainName(to)}` }];
    });
  }

  const listed = (net: Cidr): readonly Rule[] => [...(nodes.get(netKey(net))?.values() ?? [])].toSorted(compareEntries).map(ruleOf);
  const chainName = (net: Cidr) => (net.len === 0 ? at.root : branchChain(at.branch, at.family, netKey(net)));

  return {
    put(owner, entries) {
      for (const e of owned.get(owner) ?? []) touch(e, (node) => node.delete(entryKey(owner, e)));
      for (const e of entries) touch(e, (node) => node.set(entryKey(owner, e), e));
      if (entries.length === 0) owned.delete(owner);
      else owned.set(owner, entries);
    },
    flush() {
      const set: Chain[] = [];
      const remove: ChainRef[] = [];
      for (const [key, net] of dirty) {
        const ref = { family: at.family, table: at.table, name: chainName(net) };
        if (isBranch(net)) {
          set.push(makeChain(ref, rulesOf(net)));
          rendered.add(key);
        } else if (rendered.delete(key)) remove.push(ref);
      }
      dirty.clear();
      return { set, remove };
    },
  };
}

function children(net: Cidr): readonly Cidr[] {
  const len = net.len + STEP;
  const unit = BigInt(familyBits(net.family) - len);
  return Array.from({ length: 1 << STEP }, (_, i) => ({ family: net.family, value: net.value + (BigInt(i) << unit), len }));
}

/** `0a60e/20`-like, short enough for a chain name in both families: the network's bits in hex, then their number. */
function netKey(net: Cidr): string {
  const shift = BigInt(familyBits(net.family) - net.len);
  return net.len === 0 ? "/0" : `${(net.value >> shift).toString(16).padStart(net.len / 4, "0")}/${net.len}`;
}

function entryKey(owner: string, e: DispatchEntry): string {
  return `${owner}|${e.ip.value}|${e.protocol}|${e.port}`;
}

function compareEntries(a: DispatchEntry, b: DispatchEntry): number {
  if (a.ip.value !== b.ip.value) return a.ip.value < b.ip.value ? -1 : 1;
  if (a.protocol !== b.protocol) return a.protocol < b.protocol ? -1 : 1;
  return a.port - b.port || (a.why < b.why ? -1 : a.why > b.why ? 1 : 0);
}

function ruleOf(e: DispatchEntry): Rule {
  return { body: `-d ${formatIp(e.ip)}/${familyBits(e.ip.family)} -p ${e.protocol} --dport ${e.port} ${e.target}`, why: e.why };
}
