/**
 * Virtual machines' addresses: they hang on the machine's handle, and their owners, the machine's pods, come and go. Each change is one
 * transaction over all addresses of the handle, so that a machine with two addresses never has half of an owner.
 */
import { formatIp, handleKey, nthIp, parseCidr } from "@calico/model";
import type { Cidr } from "@calico/model";
import { ordinalsOfHandle } from "../domain/block.ts";
import type { Block } from "../domain/block.ts";
import { isOwnedBy, ownersAt, withoutOwner, withOwner, withOwners } from "../domain/owner-attributes.ts";
import type { Owners } from "../domain/owner-attributes.ts";
import { collect, releaseHandle } from "../domain/release.ts";
import type { Cooldown } from "../domain/release.ts";
import type { Disowned, DisownRequest, OwnRequest, Seen } from "../ports.ts";
import type { Facts } from "./facts.ts";
import { IpamFault, untilWritten } from "./fault.ts";
import { blockChange } from "./give.ts";
import type { Change, Stored } from "./records.ts";
import type { ReleasePorts } from "./release-ips.ts";

type HeldBlock = { readonly block: Block; readonly revision: number; readonly ordinals: readonly number[] };
/** All that a handle holds, as it was just read. */
type Held = { readonly handle: Stored<unknown>; readonly blocks: readonly HeldBlock[] };

/** The addresses, each with the mask of its block; undefined if the handle has none. */
export async function own(
  ports: ReleasePorts,
  { request, facts }: { readonly request: OwnRequest; readonly facts: Facts },
): Promise<readonly string[] | undefined> {
  if (facts.config.kubeVirtPersistence === "Disabled")
    throw new IpamFault("notKept", "the IPAM configuration says kubeVirtVMAddressPersistence: Disabled, so that machines keep no address");
  const { handle, role, attrs } = request;
  return await untilWritten(`the owners of handle ${handle}`, async () => {
    const held = await readHeld(ports, handle);
    if (held === undefined) return undefined;
    if (request.seen !== undefined && seenText(seenIn(held)) !== seenText(request.seen))
      throw new IpamFault("badSequence", `Cannot own the addresses of ${handle}: they have another owner since they were looked at`);
    const next = held.blocks.map((h) => changed(h, timeOf(ports, facts), { of: (o) => withOwner(o, role, attrs), isGiven: true }));
    const written = await ports.records.commit(
      next.map(({ block, revision }) => blockChange(block, revision)),
      [{ key: handleKey(handle), revision: held.handle.revision }],
    );
    return written.written ? addressesOf(held) : "conflict";
  });
}

/** Undefined if the handle has no address. */
export async function disown(
  ports: ReleasePorts,
  { request, facts }: { readonly request: DisownRequest; readonly facts: Facts },
): Promise<Disowned | undefined> {
  const { handle, owner, isEnding } = request;
  const isLast = isEnding || facts.config.kubeVirtPersistence === "Disabled";
  return await untilWritten(`the owners of handle ${handle}`, async () => {
    const held = await readHeld(ports, handle);
    if (held === undefined) return undefined;
    const time = timeOf(ports, facts);
    const wasOwner = ownersIn(held).some(({ active, alternate }) => isOwnedBy(active, owner) || isOwnedBy(alternate, owner));
    const next = held.blocks.map((h) => changed(h, time, { of: (o) => withoutOwner(o, owner, { isEnding }), isGiven: false }));
    const isFree = isLast && ownersIn({ blocks: next }).every(({ active, alternate }) => active === undefined && alternate === undefined);
    if (!wasOwner && !isFree) return { wasOwner, released: [] };
    const left = isFree ? next.map((h) => ({ ...h, block: releaseHandle(h.block, handle, time).block })) : next;
    const record: readonly Change[] = isFree ? [{ key: handleKey(handle), value: undefined, revision: held.handle.revision }] : [];
    const written = await ports.records.commit([...left.map(({ block, revision }) => blockChange(block, revision)), ...record]);
    if (!written.written) return "conflict";
    return { wasOwner, released: isFree ? addressesOf(held).map((a) => a.split("/")[0] ?? a) : [] };
  });
}

function timeOf({ clock }: ReleasePorts, { config }: Facts): Cooldown {
  return { nowMs: clock.now(), cooldownSec: config.cooldownSec };
}

/** Undefined if there is no such handle, or a record of one that holds nothing, as a crash of another client may leave it. */
async function readHeld({ records }: ReleasePorts, id: string): Promise<Held | undefined> {
  const handle = await records.handle(id, { fresh: true });
  const blocks: HeldBlock[] = [];
  for (const name of handle.value?.keys() ?? []) {
    const cidr = blockNamed(id, name);
    const { value: block, revision } = await records.block(cidr, { fresh: true });
    const ordinals = block === undefined ? [] : ordinalsOfHandle(block, id);
    if (block !== undefined && ordinals.length > 0) blocks.push({ block, revision, ordinals });
  }
  return blocks.length === 0 ? undefined : { handle, blocks };
}

function blockNamed(handle: string, name: string): Cidr {
  const cidr = parseCidr(name);
  if (!cidr.ok) throw new IpamFault("corrupt", `Handle ${handle} names a block that is none: ${cidr.error}; run calicoctl ipam check`);
  return cidr.value;
}

function changed(h: HeldBlock, time: Cooldown, o: { readonly of: (owners: Owners) => Owners; readonly isGiven: boolean }): HeldBlock {
  const block = h.ordinals.reduce((b, n) => withOwners(b, n, o.of(ownersAt(b, n)), o), h.block);
  return { ...h, block: collect(block, time) };
}

function ownersIn({ blocks }: Pick<Held, "blocks">): readonly Owners[] {
  return blocks.flatMap(({ block, ordinals }) => ordinals.map((n) => ownersAt(block, n)));
}

function seenIn({ blocks }: Held): readonly Seen[] {
  return blocks.flatMap(({ block, ordinals }) =>
    ordinals.map((n) => ({ ip: formatIp(nthIp(block.cidr, n)), sequence: block.sequenceNumberForAllocation.get(n) })),
  );
}

function seenText(seen: readonly Seen[]): string {
  return seen
    .map(({ ip, sequence }) => `${ip} ${sequence ?? ""}`)
    .toSorted()
    .join();
}

function addressesOf({ blocks }: Held): readonly string[] {
  return blocks.flatMap(({ block, ordinals }) => ordinals.map((n) => `${formatIp(nthIp(block.cidr, n))}/${block.cidr.len}`));
}
