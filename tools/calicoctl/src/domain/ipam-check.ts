/** What `ipam check` finds, from the records and from who says to use an address. Source: facts §4.9.1. */
import type { Block, Handle } from "@calico/ipam";
import { isCooling, ordinalsOfHandle, ownerOf, parseClaimant, WINDOWS_RESERVED_HANDLE } from "@calico/ipam";
import { cidrContains, cidrOverlaps, formatCidr, formatIp, isVmHandle, nthIp, parseIp } from "@calico/model";
import type { Cidr } from "@calico/model";
import type { LeakedHandle, ReportAllocation } from "./ipam-report.ts";

export type Users = ReadonlyMap<string, readonly string[]>;

export type Records = {
  readonly blocks: readonly Block[];
  /** Blocks whose records do not parse: what is in them is not known. */
  readonly unread: readonly Cidr[];
  readonly handles: ReadonlyMap<string, { readonly handle: Handle | undefined; readonly revision: number }>;
  /** `host:n1` → block CIDRs whose affinity is confirmed. */
  readonly affinities: readonly { readonly claimant: string; readonly cidr: string; readonly state: string }[];
  readonly pools: readonly Cidr[];
  /** Address → what uses it. */
  readonly users: Users;
};

export type Findings = {
  readonly allocations: Readonly<Record<string, ReportAllocation[]>>;
  readonly leaked: readonly ReportAllocation[];
  readonly notInPool: readonly string[];
  readonly notAllocated: readonly string[];
  readonly leakedHandles: readonly LeakedHandle[];
  readonly matchingHandles: number;
  /** Handles that blocks name without a record, or with one that counts otherwise. */
  readonly badHandles: readonly string[];
  readonly affinityProblems: readonly string[];
  /** Blocks that hold the same addresses. */
  readonly overlaps: readonly string[];
};

export function findProblems(r: Records): Findings {
  const allocations: Record<string, ReportAllocation[]> = {};
  for (const block of r.blocks) for (const a of allocationsOf(block, r.users)) (allocations[a.ip] ??= []).push(a);
  const all = Object.values(allocations).flat();
  const isUnread = (ip: string) => {
    const parsed = parseIp(ip);
    return parsed.ok && r.unread.some((block) => cidrContains(block, parsed.value));
  };
  const unallocated = [...r.users.keys()].filter((ip) => allocations[ip]?.some((a) => !a.coolingDown) !== true && !isUnread(ip));
  const isInPool = (ip: string) => {
    const parsed = parseIp(ip);
    return parsed.ok && r.pools.some((p) => cidrContains(p, parsed.value));
  };
  return {
    allocations,
    leaked: all.filter((a) => !a.inUse && !a.coolingDown),
    notInPool: unallocated.filter((ip) => !isInPool(ip)),
    notAllocated: unallocated.filter(isInPool),
    ...handleFindings(r),
    affinityProblems: affinityProblems(r),
    overlaps: overlapsIn(r.blocks, (ip) => (allocations[ip]?.filter((a) => !a.coolingDown).length ?? 0) > 1),
  };
}

/** A block is within another if it comes after it, in the order of first addresses, larger before smaller, and begins in it. */
function overlapsIn(blocks: readonly Block[], isGivenTwice: (ip: string) => boolean): readonly string[] {
  const ordered = blocks.toSorted(({ cidr: a }, { cidr: b }) =>
    a.family !== b.family ? a.family - b.family : a.value !== b.value ? (a.value < b.value ? -1 : 1) : a.len - b.len,
  );
  let outer: Cidr | undefined;
  return ordered.flatMap(({ cidr, allocations }) => {
    if (outer === undefined || !cidrOverlaps(outer, cidr)) {
      outer = cidr;
      return [];
    }
    const twice = allocations.map((_, n) => formatIp(nthIp(cidr, n))).filter(isGivenTwice);
    return [`block ${formatCidr(cidr)} is within block ${formatCidr(outer)}; given in both: ${twice.join(", ") || "none"}`];
  });
}

function allocationsOf(block: Block, users: Users): readonly ReportAllocation[] {
  return block.allocations.flatMap((index, ordinal) => {
    if (index === null) return [];
    const ip = formatIp(nthIp(block.cidr, ordinal));
    const owner = ownerOf(block, ordinal);
    const { node = "", pod = "", namespace = "", type = "", timestamp = "" } = owner?.secondary ?? {};
    const coolingDown = isCooling(block, ordinal);
    const owners = [...(users.get(ip) ?? []), ...keptFor(owner, { pod })];
    const claimant = parseClaimant(block.affinity);
    const borrowed = !coolingDown && node !== "" && claimant?.type !== "virtual" && claimant?.name !== node;
    const sequenceNumber = block.sequenceNumberForAllocation.get(ordinal);
    const about = { pod, namespace, node, type, creationTimestamp: timestamp };
    const inUse = !coolingDown && owners.length > 0;
    return [{ ip, handle: owner?.handleId ?? "", sequenceNumber, ...about, inUse, borrowed, coolingDown, owners }];
  });
}

/** A virtual machine that does not run keeps its address; whether there is one of the name the garbage collector finds out. */
function keptFor(owner: { readonly handleId?: string } | undefined, { pod }: { readonly pod: string }): readonly string[] {
  if (owner?.handleId === WINDOWS_RESERVED_HANDLE) return ["Reserved for Windows"];
  return owner?.handleId !== undefined && pod === "" && isVmHandle(owner.handleId) ? [`VirtualMachine(${owner.handleId})`] : [];
}

function handleFindings(r: Records): Pick<Findings, "leakedHandles" | "matchingHandles" | "badHandles"> {
  const named = new Set(r.blocks.flatMap((b) => b.allocations.flatMap((_, n) => ownerOf(b, n)?.handleId ?? [])));
  const unread = new Set(r.unread.map(formatCidr));
  const isHeld = (id: string, handle: Handle | undefined) =>
    named.has(id) || [...(handle?.keys() ?? [])].some((block) => unread.has(block));
  const leakedHandles = [...r.handles].flatMap(([id, { handle, revision }]) =>
    isHeld(id, handle) ? [] : [{ id, revision: String(revision) }],
  );
  named.delete(WINDOWS_RESERVED_HANDLE);
  const badHandles = [...named].flatMap((id) => {
    const stored = r.handles.get(id)?.handle;
    if (stored === undefined) return [`${id}: ${r.handles.has(id) ? "its record does not parse" : "there is no such handle"}`];
    const wrong = r.blocks.flatMap((b) => {
      const [found, said] = [ordinalsOfHandle(b, id).length, stored.get(formatCidr(b.cidr)) ?? 0];
      return found === said ? [] : [`${id}: it says ${said} addresses of block ${formatCidr(b.cidr)}, the block has ${found}`];
    });
    return wrong;
  });
  return { leakedHandles, matchingHandles: r.handles.size - leakedHandles.length, badHandles };
}

function affinityProblems(r: Records): readonly string[] {
  const blocks = new Map(r.blocks.map((b) => [formatCidr(b.cidr), b]));
  const unread = new Set(r.unread.map(formatCidr));
  const confirmed = r.affinities.filter((a) => a.state === "confirmed" && !unread.has(a.cidr));
  const stale = confirmed.flatMap(({ claimant, cidr }) => {
    const affinity = blocks.get(cidr)?.affinity;
    return affinity === claimant ? [] : [`${claimant} has an affinity to block ${cidr}, which is ${affinity ?? "nobody's"}`];
  });
  const missing = [...blocks.values()].flatMap((b) => {
    const found = b.affinity === undefined || r.affinities.some((a) => a.claimant === b.affinity && a.cidr === formatCidr(b.cidr));
    return found ? [] : [`block ${formatCidr(b.cidr)} is ${b.affinity ?? ""}'s, which has no affinity to it`];
  });
  return [...stale, ...missing];
}

export function problemCount(f: Findings): number {
  return [f.leaked, f.notInPool, f.notAllocated, f.leakedHandles, f.badHandles, f.affinityProblems, f.overlaps].reduce(
    (sum, list) => sum + list.length,
    0,
  );
}
