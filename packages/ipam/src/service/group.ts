/**
 * Calls that wait for the records together go out together: those that can be decided from memory are drafted one on top
 * of the other and written by one transaction, so that more calls at once cost fewer transactions each. What cannot be
 * decided from memory, or meets other writers again and again, is done alone.
 *
 * One transaction is under way at a time; the calls that come meanwhile are the next group. Nothing waits for a group to fill.
 */
import type { Store } from "@calico/datastore";
import { formatCidr, handleKey } from "@calico/model";
import type { Cidr } from "@calico/model";
import type { Block } from "../domain/block.ts";
import type { Edit, View } from "../domain/draft.ts";
import { renderHandle } from "../domain/handle.ts";
import type { Handle } from "../domain/handle.ts";
import { IpamFault } from "./fault.ts";
import { blockChange } from "./give.ts";
import type { Change, Records } from "./records.ts";

export type GroupCall<T> = {
  /** Reads into memory what the call rests on. The answer decides on what is drafted so far: an edit, or undefined: not from memory. */
  prepare(reader: Reader): Promise<(view: View) => Edit<T> | undefined>;
  /** The whole call, with all reads it needs; what `reader` has read for this round it need not read again. */
  alone(reader: Reader): Promise<T>;
};

/** Where pools, configuration and claims are read. The calls of a group read each thing once. */
export type Reader = Pick<Store, "get" | "list">;

export interface Group {
  run<T>(call: GroupCall<T>): Promise<T>;
}

/** etcd takes 128 operations in a transaction, and 1.5 MB: a block of 4096 addresses is almost that. */
const MAX_RECORDS = 100;
const MAX_ADDRESSES = 4096;

/** So often a group that met other writers is drafted again; then one of it goes alone. */
const MAX_CONFLICTS = 3;

type Entry = GroupCall<unknown> & { readonly resolve: (value: unknown) => void; readonly reject: (error: unknown) => void };

export function makeGroup(o: {
  readonly records: Records;
  readonly reader: Reader;
  /** Runs one action at a time of those that use the records. */
  readonly exclusive: <T>(action: () => Promise<T>) => Promise<T>;
  /** Told of each transaction how many calls it settled. */
  readonly onWritten?: (calls: number) => void;
}): Group {
  const { records, reader, exclusive, onWritten = () => undefined } = o;
  let waiting: Entry[] = [];
  const settleAll = async (): Promise<void> => {
    let left: readonly Entry[] = waiting;
    waiting = [];
    for (let conflicts = 0; left.length > 0;) {
      const once = onceReader(reader);
      if (conflicts === MAX_CONFLICTS) {
        left = await settleFirst(left, once);
        conflicts = 0;
        continue;
      }
      const round = await draftRound({ records, reader: once }, left);
      if (round.taken.length === 0) left = await settleFirst(round.left, once);
      else if (await write(records, round)) {
        onWritten(round.taken.length);
        left = round.left;
        conflicts = 0;
      } else {
        left = [...round.taken.map(({ entry }) => entry), ...round.left];
        conflicts++;
      }
    }
  };
  return {
    run: <T>(call: GroupCall<T>) =>
      new Promise<T>((resolve, reject) => {
        waiting.push({ ...call, resolve: resolve as (value: unknown) => void, reject });
        if (waiting.length === 1) void exclusive(settleAll);
      }),
  };
}

type Drafted = { readonly entry: Entry; readonly value: unknown };
type Round = { readonly taken: readonly Drafted[]; readonly changes: readonly Change[]; readonly left: readonly Entry[] };

/** What of `entries` can be decided from memory and fits in one transaction, in their order. Who cannot even read is told so. */
async function draftRound({ records, reader }: { records: Records; reader: Reader }, entries: readonly Entry[]): Promise<Round> {
  const prepared = await Promise.all(entries.map((entry) => prepare(entry, reader)));
  const draft = makeDraft(records);
  const taken: Drafted[] = [];
  const left: Entry[] = [];
  for (const { entry, decide } of prepared.flatMap((p) => p ?? [])) {
    const edit = decide === undefined ? undefined : orNothing(() => decide(draft.view));
    if (edit !== undefined && draft.fits(edit)) taken.push({ entry, value: draft.add(edit).value });
    else left.push(entry);
  }
  return { taken, left, changes: draft.changes() };
}

/** Each key and prefix read once. */
function onceReader(reader: Reader): Reader {
  const gets = new Map<string, ReturnType<Reader["get"]>>();
  const lists = new Map<string, ReturnType<Reader["list"]>>();
  return {
    get: (key) => once(gets, key, () => reader.get(key)),
    list: (prefix) => once(lists, prefix, () => reader.list(prefix)),
  };
}

function once<T>(known: Map<string, T>, key: string, read: () => T): T {
  const value = known.get(key) ?? read();
  known.set(key, value);
  return value;
}

type Prepared = { readonly entry: Entry; readonly decide: Awaited<ReturnType<Entry["prepare"]>> | undefined };

async function prepare(entry: Entry, reader: Reader): Promise<Prepared | undefined> {
  try {
    return { entry, decide: await entry.prepare(reader) };
  } catch (e) {
    if (e instanceof IpamFault) return { entry, decide: undefined };
    entry.reject(e);
    return undefined;
  }
}

/** What is wrong with one call is said by that call, alone. */
function orNothing<T>(action: () => T | undefined): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}

/** False: others wrote in between, and memory knows now what. A store that does not answer is the answer to each call of the round. */
async function write(records: Records, { taken, changes }: Round): Promise<boolean> {
  try {
    if (changes.length > 0 && !(await records.commit(changes)).written) return false;
    for (const { entry, value } of taken) entry.resolve(value);
  } catch (e) {
    for (const { entry } of taken) entry.reject(e);
  }
  return true;
}

async function settleFirst([first, ...rest]: readonly Entry[], reader: Reader): Promise<readonly Entry[]> {
  await first?.alone(reader).then(first.resolve, first.reject);
  return rest;
}

type Draft = {
  readonly view: View;
  fits(edit: Edit<unknown>): boolean;
  add<T>(edit: Edit<T>): Edit<T>;
  changes(): readonly Change[];
};

/** Edits over what is remembered. It lives between two waits, so that nothing is read into memory meanwhile. */
function makeDraft(records: Records): Draft {
  const blocks = new Map<string, Block>();
  const handles = new Map<string, Handle>();
  const view: View = {
    block: (cidr) => blocks.get(nameOf(cidr)) ?? records.knownBlock(cidr)?.value,
    handle: (id) => handles.get(id) ?? records.knownHandle(id)?.value,
  };
  return {
    view,
    fits(edit) {
      const changed = new Map([...blocks, ...edit.blocks.map((b) => [nameOf(b.cidr), b] as const)]);
      const addresses = [...changed.values()].reduce((sum, b) => sum + b.allocations.length, 0);
      return changed.size + handles.size + edit.handles.size <= MAX_RECORDS && addresses <= MAX_ADDRESSES;
    },
    add(edit) {
      for (const block of edit.blocks) blocks.set(nameOf(block.cidr), block);
      for (const [id, handle] of edit.handles) handles.set(id, handle);
      return edit;
    },
    changes: () => [
      ...[...blocks.values()].map((block) => blockChange(block, records.knownBlock(block.cidr)?.revision ?? 0)),
      ...[...handles].flatMap(([id, handle]) => handleAfter(id, handle, records.knownHandle(id)?.revision ?? 0)),
    ],
  };
}

/** Blocks are drafted by their CIDR's text, which is made once for those that are asked for all the time. */
const names = new WeakMap<Cidr, string>();

function nameOf(cidr: Cidr): string {
  const name = names.get(cidr) ?? formatCidr(cidr);
  names.set(cidr, name);
  return name;
}

function handleAfter(id: string, handle: Handle, revision: number): readonly Change[] {
  if (handle.size === 0 && revision === 0) return [];
  return [{ key: handleKey(id), value: handle.size === 0 ? undefined : renderHandle(handle), revision, parsed: handle }];
}
