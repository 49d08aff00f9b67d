/**
 * IPAM's records over the store: read, and change several at once if none of them was changed since it was read.
 *
 * What was read or written last is remembered. A remembered record may be old; that is harmless, because every write
 * compares the revision it was decided on, and a "no" (no free address, not allocated) is only said after reading anew.
 * So a known block costs one transaction per address, and a new handle needs no read at all.
 */
import type { Compare, Store, TxnOp } from "@calico/datastore";
import { blockKey, err, formatCidr, handleKey, ok, parseCidr, parseKey, prefixOf } from "@calico/model";
import type { Cidr, Result } from "@calico/model";
import { parseBlock } from "../domain/block-json.ts";
import { overlapAmong, surroundingsOf } from "../domain/block-space.ts";
import type { Block } from "../domain/block.ts";
import { parseHandle } from "../domain/handle.ts";
import type { Handle } from "../domain/handle.ts";
import { IpamFault } from "./fault.ts";
import { makeMemory } from "./memory.ts";
import type { BrokenRecord, Remembered } from "./memory.ts";

/** A record and the revision it was read at; revision 0: it is not there. */
export type Stored<T> = { readonly value: T | undefined; readonly revision: number };

/** `value` undefined deletes. `revision` is that of the record it was decided on. */
export type Change = {
  readonly key: string;
  readonly value: string | undefined;
  readonly revision: number;
  /** What `value` says, so that it need not be parsed when it is used next. */
  readonly parsed?: unknown;
};

/** A record that a decision rests on, at the revision it was seen; 0: not there. */
export type Seen = Pick<Change, "key" | "revision">;

/** That no record below a prefix was made after a revision. */
export type NoneMade = { readonly below: string; readonly since: number };

/** What was seen of the blocks that would share addresses with one. */
export type Around = {
  /** The block itself is there. */
  readonly isThere: boolean;
  /** The key of such a block; undefined if there is none. */
  readonly overlap: string | undefined;
  /** Holds as long as no block came that would. */
  readonly still: readonly (Seen | NoneMade)[];
};

export interface Records {
  block(cidr: Cidr, o: { readonly fresh: boolean }): Promise<Stored<Block>>;
  /** With `guess`, a handle that is not remembered is taken for one that does not exist; the write will tell. */
  handle(id: string, o: { readonly fresh: boolean; readonly guess?: boolean }): Promise<Stored<Handle>>;
  text(key: string): Promise<Stored<string>>;
  /** What is remembered, without a look at the store; undefined when nothing is, and without a value for a block that does not parse. */
  knownBlock(cidr: Cidr): Stored<Block> | undefined;
  knownHandle(id: string): Stored<Handle> | undefined;
  /** Look for blocks that share addresses with this one. At first only where most of them would be; the rest is left to `still`. */
  around(cidr: Cidr, o: { readonly thorough: boolean }): Promise<Around>;
  /** All changes or none, and none if one of `still` does not hold any more. A conflict refreshes what is remembered. */
  commit(changes: readonly Change[], still?: readonly (Seen | NoneMade)[]): Promise<Committed>;
  /** Those that are remembered. */
  broken(): readonly BrokenRecord[];
  /** Read the broken ones anew. */
  recheck(): Promise<void>;
}

/**
 * `revision` is that of the transaction, which is what the records written have from now on. Not written and `isUnchanged`: the records to be
 * written are as they were, so that something else did not hold.
 */
export type Committed = { readonly written: boolean; readonly revision: number; readonly isUnchanged: boolean };

export type RecordsOptions = {
  /** Told of each record that does not parse. */
  readonly onBroken?: (broken: BrokenRecord) => void;
};

export function makeRecords(store: Pick<Store, "get" | "list" | "txn">, { onBroken = () => undefined }: RecordsOptions = {}): Records {
  const memory = makeMemory(onBroken);
  const stored = <T>(key: string, entry: Remembered | undefined, parse: (text: string) => Result<T, string>): Stored<T> => {
    if (entry === undefined) return { value: undefined, revision: 0 };
    const outcome = memory.parse(key, entry, parse);
    if (!outcome.ok) throw new BrokenRecordFault({ key, problem: outcome.error });
    return { value: outcome.value, revision: entry.kv.modRevision };
  };
  const read = async (key: string, fresh: boolean): Promise<Remembered | undefined> => {
    const known = memory.get(key);
    if (fresh || known === undefined || known.problem !== undefined) memory.remember(key, await store.get(key));
    return memory.get(key);
  };

  return {
    knownBlock(cidr) {
      const key = keyOfBlock(cidr);
      const entry = memory.get(key);
      if (entry === undefined) return undefined;
      const block = memory.parse(key, entry, blockAt(cidr));
      return { value: block.ok ? block.value : undefined, revision: entry.kv.modRevision };
    },
    knownHandle(id) {
      const key = handleKey(id);
      const entry = memory.get(key);
      return entry && stored(key, entry, parseHandle);
    },
    async block(cidr, { fresh }) {
      const key = keyOfBlock(cidr);
      return stored(key, await read(key, fresh), blockAt(cidr));
    },
    async handle(id, { fresh, guess = false }) {
      const key = handleKey(id);
      if (!fresh && guess && memory.get(key) === undefined) return { value: undefined, revision: 0 };
      return stored(key, await read(key, fresh), parseHandle);
    },
    async text(key) {
      const kv = await store.get(key);
      return { value: kv?.value, revision: kv?.modRevision ?? 0 };
    },
    async around(cidr, { thorough }) {
      const { prefix, others } = surroundingsOf(cidr);
      const { items, revision } = await store.list(prefix);
      const found = thorough ? (await Promise.all(others.map((key) => store.get(key)))).flatMap((kv) => kv?.key ?? []) : [];
      return aroundOf(cidr, { keys: [...items.map(({ key }) => key), ...found], revision });
    },
    async commit(changes, still = []) {
      const failure: TxnOp[] = changes.map(({ key }) => ({ do: "get", key }));
      for (const { key } of changes) if (!isCommitSafe(key)) throw new Error(`Cannot write ${key}: it is not a record of IPAM`);
      try {
        const txn = await store.txn({
          compares: [...changes, ...still].map(compare),
          success: changes.map((c) => operation(c, memory.get(c.key))),
          failure,
        });
        changes.forEach(({ key, value, parsed }, i) => {
          const gone = txn.succeeded && value === undefined;
          memory.remember(key, gone ? undefined : txn.results[i], txn.succeeded ? parsed : undefined);
        });
        const isUnchanged = txn.succeeded || changes.every(({ revision }, i) => (txn.results[i]?.modRevision ?? 0) === revision);
        return { written: txn.succeeded, revision: txn.revision, isUnchanged };
      } catch (e) {
        for (const { key } of changes) memory.forget(key);
        throw e;
      }
    },
    broken: memory.broken,
    async recheck() {
      for (const { key } of memory.broken()) {
        const entry = await read(key, true);
        if (entry !== undefined) memory.parse<unknown>(key, entry, parserOf(key));
      }
    },
  };
}

/** The same few blocks are asked for all the time. */
const blockKeys = new WeakMap<Cidr, string>();

function keyOfBlock(cidr: Cidr): string {
  const key = blockKeys.get(cidr) ?? blockKey(cidr);
  blockKeys.set(cidr, key);
  return key;
}

/** A record says itself which block it is of; one that is not where it belongs would be written elsewhere. */
function blockAt(cidr: Cidr): (text: string) => Result<Block, string> {
  return (text) => {
    const block = parseBlock(text);
    const name = block.ok ? formatCidr(block.value.cidr) : "";
    return block.ok && name !== formatCidr(cidr) ? err(`it says that it is block ${name}`) : block;
  };
}

function parserOf(key: string): (text: string) => Result<unknown, string> {
  const cidr = parseCidr(parseKey(key)?.cidr ?? "");
  return cidr.ok ? blockAt(cidr.value) : parseHandle;
}

/** A record that an operation needs does not parse. */
export class BrokenRecordFault extends IpamFault {
  readonly key: string;
  constructor({ key, problem }: BrokenRecord) {
    super("corrupt", `Cannot use the record at ${key}: ${problem}; run calicoctl ipam check`);
    this.key = key;
  }
}

/** What `action` says, or why the block it needs cannot be used. A handle that does not parse is a fault as ever. */
export async function unlessBroken<T>(action: () => Promise<T>): Promise<Result<T, string>> {
  try {
    return ok(await action());
  } catch (e) {
    if (e instanceof BrokenRecordFault && e.key.startsWith(prefixOf("IPAMBlock"))) return err(e.message);
    throw e;
  }
}

/** A guard against writing anywhere else by a wrong key. */
function isCommitSafe(key: string): boolean {
  return key.startsWith("/calico/ipam/v2/") || key.startsWith("/calico/resources/v3/projectcalico.org/nodes/");
}

function compare(still: Seen | NoneMade): Compare {
  if ("key" in still) return { key: still.key, target: "modRevision", is: "==", revision: still.revision };
  return { key: still.below, isPrefix: true, target: "createRevision", is: "<", revision: still.since + 1 };
}

/** What is around a block by the keys of blocks, all of a prefix or all there are, as they were at a revision. */
export function aroundOf(cidr: Cidr, o: { readonly keys: readonly string[]; readonly revision: number }): Around {
  const { prefix, others } = surroundingsOf(cidr);
  const still = [{ below: prefix, since: o.revision }, ...others.map((key) => ({ key, revision: 0 }))];
  return { isThere: o.keys.includes(blockKey(cidr)), overlap: overlapAmong(o.keys, cidr), still };
}

function operation({ key, value, revision }: Change, known: Remembered | undefined): TxnOp {
  if (value === undefined) return { do: "delete", key };
  const isKnown = known !== undefined && known.kv.modRevision === revision;
  return { do: "put", key, value, ...(isKnown ? { createRevision: known.kv.createRevision } : {}) };
}
