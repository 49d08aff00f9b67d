/**
 * Who an address is said to be for, without giving it anew: at most an active owner, which has it, and an alternate one, which is to
 * have it when the active one leaves. Two at once are for a virtual machine that moves: the same address in two pods.
 *
 * Source: calico libcalico-go/lib/ipam/ipam.go (SetOwnerAttributes), cni-plugin/pkg/ipamplugin (handleVirtLauncherPod, cmdDel).
 * Deviation: an active owner that leaves makes the alternate one active in the same write; Calico's felix does it, before that.
 */
import { bumped, attributeKey } from "./block.ts";
import type { Block, BlockAttribute } from "./block.ts";

type Attributes = Readonly<Record<string, string>>;

export type Owners = { readonly active: Attributes | undefined; readonly alternate: Attributes | undefined };

/** A pod, and which container of it: a pod may be set up again. */
export type OwnerName = { readonly namespace: string; readonly pod: string; readonly container: string };

/** Attribute keys of owners. `container` is ours: a DEL that comes late must not be taken for the new container's. */
export const OWNER = { namespace: "namespace", pod: "pod", node: "node", container: "container", vmi: "vmi-uid" } as const;

export function ownersAt(block: Block, ordinal: number): Owners {
  const at = block.allocations[ordinal];
  const attribute = at === null || at === undefined ? undefined : block.attributes[at];
  return { active: some(attribute?.secondary), alternate: some(attribute?.alternate) };
}

function some(attributes: Attributes | undefined): Attributes | undefined {
  return attributes === undefined || Object.keys(attributes).length === 0 ? undefined : attributes;
}

export function isOwnedBy(attributes: Attributes | undefined, { namespace, pod, container }: OwnerName): boolean {
  if (attributes?.[OWNER.namespace] !== namespace || attributes[OWNER.pod] !== pod) return false;
  const known = attributes[OWNER.container];
  return known === undefined || known === container;
}

/** The owners once `attrs` came: a machine's pod is never both, and an alternate owner of an earlier life of the machine is none. */
export function withOwner({ active, alternate }: Owners, role: "active" | "alternate", attrs: Attributes): Owners {
  if (role === "active")
    return { active: attrs, alternate: isSamePod(alternate, attrs) || !isSameLife(alternate, attrs) ? undefined : alternate };
  return isSamePod(active, attrs) ? { active: attrs, alternate } : { active, alternate: attrs };
}

/** The owners once one left. Nobody follows at the end of the machine, nor an alternate owner of another life of it. */
export function withoutOwner({ active, alternate }: Owners, who: OwnerName, o: { readonly isEnding: boolean }): Owners {
  const rest = isOwnedBy(alternate, who) ? undefined : alternate;
  if (!isOwnedBy(active, who)) return { active, alternate: rest };
  const follows = rest !== undefined && !o.isEnding && isSameLife(rest, active);
  return follows ? { active: rest, alternate: undefined } : { active: undefined, alternate: rest };
}

function isSamePod(a: Attributes | undefined, b: Attributes): boolean {
  return a?.[OWNER.namespace] === b[OWNER.namespace] && a?.[OWNER.pod] === b[OWNER.pod];
}

function isSameLife(a: Attributes | undefined, b: Attributes | undefined): boolean {
  return a?.[OWNER.vmi] === b?.[OWNER.vmi];
}

/**
 * The block with other owners for one address; the handle and the addresses that shared the old ones keep theirs.
 * `isGiven`: it is given, so to say, anew, and has a new sequence number: who saw it without an owner cannot release it any more.
 */
export function withOwners(block: Block, ordinal: number, { active, alternate }: Owners, o: { readonly isGiven: boolean }): Block {
  const at = block.allocations[ordinal];
  const old = at === null || at === undefined ? undefined : block.attributes[at];
  if (old === undefined) throw new Error(`Cannot change the owners of ordinal ${ordinal}: it is free`);
  const next: BlockAttribute = {
    ...(old.handleId === undefined ? {} : { handleId: old.handleId }),
    ...(active === undefined ? {} : { secondary: active }),
    ...(alternate === undefined ? {} : { alternate }),
  };
  const known = block.attributes.findIndex((a) => attributeKey(a) === attributeKey(next));
  const attributes = known >= 0 ? block.attributes : [...block.attributes, next];
  const index = known >= 0 ? known : block.attributes.length;
  const sequences = new Map(block.sequenceNumberForAllocation);
  if (o.isGiven) sequences.set(ordinal, block.sequenceNumber);
  const allocations = block.allocations.map((a, i) => (i === ordinal ? index : a));
  return bumped({ ...block, attributes, allocations, sequenceNumberForAllocation: sequences });
}
