/**
 * One scenario, run many ways: the program after a state must be the same however the state came about.
 *
 * Source: Calico felix/calc/calc_graph_fv_test.go (testExpanders).
 */
import { keyOf } from "@calico/model";
import type { AnyObject, IPAMBlockValue } from "@calico/model";
import { blockKey, parseKey } from "@calico/model";
import type { FeedEvent } from "../src/mod.ts";
import { refOf } from "../src/testing.ts";

export type Item = AnyObject | { readonly block: IPAMBlockValue };
/** What the datastore holds at one time. */
export type Snapshot = readonly Item[];

type Run = { readonly how: string; readonly states: readonly Snapshot[]; readonly flush: "each" | "last" };

export function expand(states: readonly Snapshot[]): readonly Run[] {
  const each = (how: string, of: readonly Snapshot[]): Run => ({ how, states: of, flush: "each" });
  return [
    each("as written", states),
    each("backwards", states.toReversed()),
    each(
      "empty between each",
      states.flatMap((s) => [s, []]),
    ),
    ...states.map((s, i) => each(`state ${i} alone`, [s])),
    each(
      "keys reversed",
      states.map((s) => s.toReversed()),
    ),
    { how: "squashed into one flush", states, flush: "last" },
    { how: "squashed, backwards", states: states.toReversed(), flush: "last" },
  ];
}

const keyOfItem = (item: Item): string => ("block" in item ? blockKey(item.block.cidr) : keyOf(refOf(item)));
const valueOfItem = (item: Item): unknown => ("block" in item ? item.block : item);

/** The events from one snapshot to the next. Changes come before removals in every other step, as they may. */
export function transition(from: Snapshot, to: Snapshot, revision: number): readonly FeedEvent[] {
  const before = new Map(from.map((item) => [keyOfItem(item), item]));
  const after = new Map(to.map((item) => [keyOfItem(item), item]));
  const gone = [...before.keys()]
    .filter((key) => !after.has(key))
    .map((key): FeedEvent => ({ kind: "deleted", key, ref: parseKey(key)!, revision }));
  const changed = [...after]
    .filter(([key, item]) => JSON.stringify(before.get(key)) !== JSON.stringify(item))
    .map(([key, item]): FeedEvent => ({ kind: "updated", key, ref: parseKey(key)!, value: valueOfItem(item), revision: 7 }));
  return revision % 2 === 0 ? [...changed, ...gone] : [...gone, ...changed];
}
