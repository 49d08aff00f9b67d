/** The calls that a group takes: automatic assignment and the release of a handle, which is what pods come and go by. */
import { parseCidr } from "@calico/model";
import type { Cidr, Family } from "@calico/model";
import { freeOrdinals } from "../domain/block.ts";
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
  for (const cidr of plan.unselected) await records.block(cidr, { fresh: false });
  await untilRoom(plan, { blocks, count: o.count, load: (cidr) => records.block(cidr, { fresh: false }) });
  return { family: o.family, count: o.count, blocks, affinity: plan.affinity, unselected: plan.unselected };
}

/** Reads the blocks that are not in memory, until enough have room. */
async function untilRoom(
  plan: Plan,
  o: { blocks: readonly Cidr[]; count: number; load: (cidr: Cidr) => ReturnType<AssignPorts["records"]["block"]> },
): Promise<void> {
  let room = 0;
  for (const cidr of o.blocks) {
    if (room >= o.count) return;
    const { value } = await o.load(cidr);
    if (value !== undefined && value.affinity === plan.affinity) room += freeOrdinals(value, () => false).length;
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
