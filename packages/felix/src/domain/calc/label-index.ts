/**
 * Which selectors match which items, kept up as either changes. An item has labels of its own and of its parents (an endpoint's
 * profiles); its own win, then those of the parent that is named first.
 *
 * A change asks only the selectors whose required labels the item has, or the items that have a selector's rarest required label.
 *
 * Source: Calico felix/labelindex (label_inheritance_index.go, labelrestrictionindex).
 */
import type { Selector } from "@calico/model";
import { restrictionsOf } from "./label-restriction.ts";

export type Labels = Readonly<Record<string, string>>;
export type MatchListener = {
  matchStarted(selector: string, item: string): void;
  matchStopped(selector: string, item: string): void;
};

type Parent = { labels: Labels; readonly items: Set<string> };
type Item = { labels: Labels; parents: readonly string[]; readonly matches: Set<string> };
type Watched = { readonly selector: Selector; readonly place: Place; readonly matches: Set<string> };
/** Where a selector waits for items: at values of one label, at any value of one, at every item, or nowhere since nothing can match. */
type Place = { readonly label: string; readonly values: ReadonlySet<string> | "any" } | "everywhere" | "nowhere";

const NO_LABELS: Labels = {};
const NOTHING: ReadonlySet<string> = new Set();

export class LabelIndex {
  readonly #listener: MatchListener;
  readonly #items = new Map<string, Item>();
  readonly #parents = new Map<string, Parent>();
  readonly #selectors = new Map<string, Watched>();
  readonly #itemsByLabel = new ValueIndex();
  readonly #parentsByLabel = new ValueIndex();
  readonly #selectorsByValue = new ValueIndex();
  readonly #selectorsByLabel = new Map<string, Set<string>>();
  readonly #selectorsEverywhere = new Set<string>();
  /** How often a selector was evaluated: the work done. */
  evaluations = 0;

  constructor(listener: MatchListener) {
    this.#listener = listener;
  }

  get itemCount(): number {
    return this.#items.size;
  }

  get selectorCount(): number {
    return this.#selectors.size;
  }

  setItem(id: string, labels: Labels, parents: readonly string[]): void {
    const before = this.#items.get(id);
    const item: Item = before ?? { labels: NO_LABELS, parents: [], matches: new Set() };
    this.#itemsByLabel.removeAll(item.labels, id);
    for (const name of item.parents) this.#parent(name).items.delete(id);
    for (const name of item.parents) this.#forgetParentIfUnused(name);
    item.labels = labels;
    item.parents = parents;
    this.#items.set(id, item);
    this.#itemsByLabel.addAll(labels, id);
    for (const name of parents) this.#parent(name).items.add(id);
    this.#rescan(id, item);
  }

  deleteItem(id: string): void {
    const item = this.#items.get(id);
    if (item === undefined) return;
    for (const selector of item.matches) this.#unmatch(selector, id);
    this.#itemsByLabel.removeAll(item.labels, id);
    for (const name of item.parents) this.#parent(name).items.delete(id);
    for (const name of item.parents) this.#forgetParentIfUnused(name);
    this.#items.delete(id);
  }

  setParentLabels(name: string, labels: Labels): void {
    const parent = this.#parent(name);
    this.#parentsByLabel.removeAll(parent.labels, name);
    parent.labels = labels;
    this.#parentsByLabel.addAll(labels, name);
    for (const id of parent.items) this.#rescan(id, this.#items.get(id)!);
    this.#forgetParentIfUnused(name);
  }

  setSelector(id: string, selector: Selector): void {
    const before = this.#selectors.get(id);
    if (before?.selector.canonical === selector.canonical) return;
    const place = this.#choosePlace(selector);
    const watched: Watched = { selector, place, matches: before?.matches ?? new Set() };
    if (before !== undefined) this.#leave(id, before.place);
    this.#selectors.set(id, watched);
    this.#wait(id, place);
    const candidates = new Set([...watched.matches, ...this.#itemsAt(place)]);
    for (const item of candidates) this.#evaluate(id, watched, item);
  }

  deleteSelector(id: string): void {
    const watched = this.#selectors.get(id);
    if (watched === undefined) return;
    for (const item of watched.matches) this.#unmatch(id, item);
    this.#leave(id, watched.place);
    this.#selectors.delete(id);
  }

  /** The selectors that match an item. */
  matchesOf(item: string): ReadonlySet<string> {
    return this.#items.get(item)?.matches ?? NOTHING;
  }

  /** The items that a selector matches. */
  itemsOf(selector: string): ReadonlySet<string> {
    return this.#selectors.get(selector)?.matches ?? NOTHING;
  }

  #parent(name: string): Parent {
    let parent = this.#parents.get(name);
    if (parent === undefined) this.#parents.set(name, (parent = { labels: NO_LABELS, items: new Set() }));
    return parent;
  }

  #forgetParentIfUnused(name: string): void {
    const parent = this.#parents.get(name);
    if (parent !== undefined && parent.items.size === 0 && Object.keys(parent.labels).length === 0) this.#parents.delete(name);
  }

  #labelOf(item: Item, label: string): string | undefined {
    if (Object.hasOwn(item.labels, label)) return item.labels[label];
    for (const name of item.parents) {
      const labels = this.#parents.get(name)?.labels ?? NO_LABELS;
      if (Object.hasOwn(labels, label)) return labels[label];
    }
    return undefined;
  }

  #rescan(id: string, item: Item): void {
    const candidates = new Set([...item.matches, ...this.#selectorsEverywhere]);
    for (const labels of [item.labels, ...item.parents.map((name) => this.#parents.get(name)?.labels ?? NO_LABELS)]) {
      for (const [label, value] of Object.entries(labels)) {
        for (const selector of this.#selectorsByValue.at(label, value)) candidates.add(selector);
        for (const selector of this.#selectorsByLabel.get(label) ?? NOTHING) candidates.add(selector);
      }
    }
    for (const selector of candidates) this.#evaluate(selector, this.#selectors.get(selector)!, id);
  }

  #evaluate(selectorId: string, watched: Watched, itemId: string): void {
    const item = this.#items.get(itemId)!;
    this.evaluations++;
    const now = watched.selector.matchesBy((label) => this.#labelOf(item, label));
    const was = item.matches.has(selectorId);
    if (now === was) return;
    if (!now) return this.#unmatch(selectorId, itemId);
    item.matches.add(selectorId);
    watched.matches.add(itemId);
    this.#listener.matchStarted(selectorId, itemId);
  }

  #unmatch(selector: string, item: string): void {
    this.#items.get(item)?.matches.delete(selector);
    this.#selectors.get(selector)?.matches.delete(item);
    this.#listener.matchStopped(selector, item);
  }

  /** The required label that the fewest items have now. The choice decides how much is asked, not what is found. */
  #choosePlace(selector: Selector): Place {
    let best: Place = "everywhere";
    let fewest = Infinity;
    for (const [label, values] of restrictionsOf(selector.ast)) {
      if (values !== "any" && values.size === 0) return "nowhere";
      const count = this.#itemCountAt(label, values);
      if (count < fewest || (count === fewest && values !== "any")) {
        best = { label, values };
        fewest = count;
      }
    }
    return best;
  }

  #itemCountAt(label: string, values: ReadonlySet<string> | "any"): number {
    let count = 0;
    for (const value of values === "any"
      ? new Set([...this.#itemsByLabel.valuesOf(label), ...this.#parentsByLabel.valuesOf(label)])
      : values) {
      count += this.#itemsByLabel.at(label, value).size;
      for (const name of this.#parentsByLabel.at(label, value)) count += this.#parents.get(name)?.items.size ?? 0;
    }
    return count;
  }

  *#itemsAt(place: Place): Iterable<string> {
    if (place === "nowhere") return;
    if (place === "everywhere") return yield* this.#items.keys();
    const { label, values } = place;
    for (const value of values === "any"
      ? new Set([...this.#itemsByLabel.valuesOf(label), ...this.#parentsByLabel.valuesOf(label)])
      : values) {
      yield* this.#itemsByLabel.at(label, value);
      for (const name of this.#parentsByLabel.at(label, value)) yield* this.#parents.get(name)?.items ?? NOTHING;
    }
  }

  #wait(id: string, place: Place): void {
    if (place === "everywhere") this.#selectorsEverywhere.add(id);
    else if (place === "nowhere") return;
    else if (place.values === "any") setOf(this.#selectorsByLabel, place.label).add(id);
    else for (const value of place.values) this.#selectorsByValue.add(place.label, value, id);
  }

  #leave(id: string, place: Place): void {
    if (place === "everywhere") this.#selectorsEverywhere.delete(id);
    else if (place === "nowhere") return;
    else if (place.values === "any") removeFrom(this.#selectorsByLabel, place.label, id);
    else for (const value of place.values) this.#selectorsByValue.remove(place.label, value, id);
  }
}

/** Ids by label and value. Holds nothing for what nobody has. */
class ValueIndex {
  readonly #byLabel = new Map<string, Map<string, Set<string>>>();

  at(label: string, value: string): ReadonlySet<string> {
    return this.#byLabel.get(label)?.get(value) ?? NOTHING;
  }

  valuesOf(label: string): Iterable<string> {
    return this.#byLabel.get(label)?.keys() ?? NOTHING;
  }

  add(label: string, value: string, id: string): void {
    let values = this.#byLabel.get(label);
    if (values === undefined) this.#byLabel.set(label, (values = new Map()));
    setOf(values, value).add(id);
  }

  remove(label: string, value: string, id: string): void {
    const values = this.#byLabel.get(label);
    if (values === undefined) return;
    removeFrom(values, value, id);
    if (values.size === 0) this.#byLabel.delete(label);
  }

  addAll(labels: Labels, id: string): void {
    for (const [label, value] of Object.entries(labels)) this.add(label, value, id);
  }

  removeAll(labels: Labels, id: string): void {
    for (const [label, value] of Object.entries(labels)) this.remove(label, value, id);
  }
}

function setOf(map: Map<string, Set<string>>, key: string): Set<string> {
  let set = map.get(key);
  if (set === undefined) map.set(key, (set = new Set()));
  return set;
}

function removeFrom(map: Map<string, Set<string>>, key: string, id: string): void {
  const set = map.get(key);
  if (set === undefined) return;
  set.delete(id);
  if (set.size === 0) map.delete(key);
}
