/** The calls that a group takes: automatic assignment and the release of a handle, which is what pods come and go by. */
import { parseCidr } from "@calico/model";
import type { Cidr, Family } from "@calico/model";
import type { Block } from "../domain/block.ts";
import { draftAssign, draftRelease } from "../domain/draft.ts";
import type { Edit, FamilyWanted, View } from "../domain/draft.ts";
import { reservedIn } from "../domain/reservations.ts";
import type { AutoAssignment, AutoAssignRequest } from "../ports.ts";
import type { AssignPorts } from "./auto-assign.ts";
import { readFacts } from "./facts.ts";
import type { Facts } from "./facts.ts";
import type { Reader } from "./group.ts";
import { planOf } from "./plan.ts";
import type { Plan } from "./plan.ts";
import { unlessBroken } from "./records.ts";
import type { Records } from "./records.ts";

/** Decides an assignment from the host's own blocks; it needs all that was asked for, of both families. */
export async function prepareAssign(
  ports: AssignPorts,
  { request, reader }: { readonly request: AutoAssignRequest; readonly reader: Reader },
): Promise<(view: View) => Edit<AutoAssignment> | undefined> {
  const facts = await readFacts(reader);
  const counts: readonly (readonly [Family, number])[] = [
    [4, request.num4],
    [6, request.num6],
  ];
  const families = await Promise.all(
    counts.flatMap(([family, count]) => (count === 0 ? [] : [wantedOf(ports, { request, facts, family, count, reader })])),
  );
  return (view) => {
    const edit = draftAssign(view, {
      families,
      owner: { handleId: request.handle, attrs: request.attrs ?? {} },
      maxPerHandle: request.maxPerHandle ?? 0,
      reservedIn: (block) => reservedIn(facts.reserved, block),
      time: { nowMs: ports.clock.now(), cooldownSec: facts.config.cooldownSec },
    });
    if (edit === undefined) return undefined;
    const given = (family: Family) => (edit.value[families.findIndex((f) => f.family === family)] ?? []).map((address) => ({ address }));
    const of = (family: Family, requested: number) => ({ requested, ips: given(family), messages: [] });
    return { ...edit, value: { v4: of(4, request.num4), v6: of(6, request.num6) } };
  };
}

async function wantedOf(
  { records }: AssignPorts,
  o: { request: AutoAssignRequest; facts: Facts; family: Family; count: number; reader: Reader },
): Promise<FamilyWanted> {
  const plan = await planOf(o.reader, o);
  const blocks = plan.usable.flatMap(({ cidr, confirmed }) => (confirmed ? [cidr] : []));
  const looked = await Promise.all(plan.unselected.map(async (cidr) => ({ cidr, block: await look(records, cidr) })));
  const unselected = looked.flatMap(({ cidr, block }) => (block === "broken" ? [] : [cidr]));
  await untilRoom(records, { plan, blocks, count: o.count });
  return { family: o.family, count: o.count, blocks, affinity: plan.affinity, unselected };
}

/** A block from memory, or else read; one that does not parse is not read again. */
async function look(records: Records, cidr: Cidr): Promise<Block | "broken" | undefined> {
  const known = records.knownBlock(cidr);
  if (known !== undefined) return known.value ?? "broken";
  const read = await unlessBroken(() => records.block(cidr, { fresh: false }));
  return read.ok ? read.value.value : "broken";
}

/** Blocks that are read at once. */
const READ_AT_ONCE = 16;

/** Reads blocks that are not in memory, until those that are have room. */
async function untilRoom(
  records: Records,
  o: { readonly plan: Plan; readonly blocks: readonly Cidr[]; readonly count: number },
): Promise<void> {
  const roomOf = (block: Block | "broken" | undefined) =>
    typeof block === "object" && block.affinity === o.plan.affinity ? block.unallocated.length : 0;
  const known = o.blocks.map((cidr) => records.knownBlock(cidr));
  const unknown = o.blocks.filter((_, i) => known[i] === undefined);
  let room = known.reduce((sum, stored) => sum + roomOf(stored?.value), 0);
  for (let i = 0; room < o.count && i < unknown.length; i += READ_AT_ONCE) {
    const read = await Promise.all(unknown.slice(i, i + READ_AT_ONCE).map((cidr) => look(records, cidr)));
    room += read.reduce((sum, block) => sum + roomOf(block), 0);
  }
}

/** Decides the release of all that a handle holds; the value is undefined when there is no such handle. */
export async function prepareRelease(
  { records, clock }: AssignPorts,
  { handle: id, reader }: { readonly handle: string; readonly reader: Reader },
): Promise<(view: View) => Edit<readonly string[] | undefined> | undefined> {
  const { cooldownSec } = (await readFacts(reader)).config;
  const handle = (await records.handle(id, { fresh: false })).value;
  if (handle === undefined) return () => NOTHING_HELD; // not remembered, so that this was read just now
  for (const name of handle.keys()) {
    const cidr = parseCidr(name);
    if (cidr.ok) await records.block(cidr.value, { fresh: false });
  }
  return (view) => draftRelease(view, id, { nowMs: clock.now(), cooldownSec });
}

const NOTHING_HELD: Edit<undefined> = { value: undefined, blocks: [], handles: new Map() };
