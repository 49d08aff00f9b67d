/** Addresses that a node's containers hold, from the blocks. */
import type { Store } from "@calico/datastore";
import { OWNER, ownerOf, ownersAt, isOwnedBy, parseBlock } from "@calico/ipam";
import type { Block, OwnerName } from "@calico/ipam";
import { formatIp, isVmHandle, nthIp } from "@calico/model";
import type { Allocation } from "../ports.ts";

const BLOCKS = "/calico/ipam/v2/assignment/";

type Attributes = Readonly<Record<string, string>>;
type Held = { readonly handle: string; readonly ip: string; readonly owners: readonly Attributes[] };

/** By who the address is for, and not by whose block it is from: a node may borrow. */
export async function allocationsOf(store: Pick<Store, "list">, node: string): Promise<readonly Allocation[]> {
  return (await heldIn(store)).flatMap(({ handle, ip, owners }) =>
    owners.flatMap((o) => (o[OWNER.node] === node ? [{ handle, ip, owner: isVmHandle(handle) ? ownerName(o) : undefined }] : [])),
  );
}

export async function handlesOf(store: Pick<Store, "list">, owner: OwnerName): Promise<readonly string[]> {
  const held = (await heldIn(store)).filter(({ handle, owners }) => isVmHandle(handle) && owners.some((o) => isOwnedBy(o, owner)));
  return [...new Set(held.map(({ handle }) => handle))];
}

async function heldIn(store: Pick<Store, "list">): Promise<readonly Held[]> {
  return (await store.list(BLOCKS)).items.flatMap(({ value }) => {
    const block = parseBlock(value);
    return block.ok ? heldOf(block.value) : [];
  });
}

function heldOf(block: Block): readonly Held[] {
  return block.allocations.flatMap((_, ordinal) => {
    const handle = ownerOf(block, ordinal)?.handleId;
    if (handle === undefined) return [];
    const { active, alternate } = ownersAt(block, ordinal);
    return [{ handle, ip: formatIp(nthIp(block.cidr, ordinal)), owners: [active, alternate].filter((o) => o !== undefined) }];
  });
}

function ownerName(o: Attributes): OwnerName | undefined {
  const { [OWNER.namespace]: namespace, [OWNER.pod]: pod, [OWNER.container]: container } = o;
  return namespace === undefined || pod === undefined || container === undefined ? undefined : { namespace, pod, container };
}
