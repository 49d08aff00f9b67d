/**
 * IPAM's records over the store: read, and change several at once if none of them was changed since it was read.
 *
 * What was read or written last is remembered. A remembered record may be old; that is harmless, because every write
 * compares the revision it was decided on, and a "no" (no free address, not allocated) is only said after reading anew.
 * So a known block costs one transaction per address, and a new handle needs no read at all.
 */
import type { Compare, KeyValue, Store, TxnOp } from "@calico/datastore";
import { blockKey, handleKey } from "@calico/model";
import type { Cidr, Result } from "@calico/model";
import { parseBlock } from "../domain/block-json.ts";
import type { Block } from "../domain/block.ts";
import { parseHandle } from "../domain/handle.ts";
import type { Handle } from "../domain/handle.ts";
import { IpamFault } from "./fault.ts";

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

/** Enough for the blocks of a node and the handles of its pods. */
const REMEMBERED = 1024;

export interface Records {
  block(cidr: Cidr, o: { readonly fresh: boolean }): Promise<Stored<Block>>;
  /** With `guess`, a handle that is not remembered is taken for one that does not exist; the write will tell. */
  handle(id: string, o: { readonly fresh: boolean; readonly guess?: boolean }): Promise<Stored<Handle>>;
  text(key: string): Promise<Stored<string>>;
  /** What is remembered, without a look at the store; undefined when nothing is. */
  knownBlock(cidr: Cidr): Stored<Block> | undefined;
  knownHandle(id: string): Stored<Handle> | undefined;
  /** All changes or none, and none if one of `unchanged` is not at its revision any more. A conflict refreshes what is remembered. */
  commit(changes: readonly Change[], unchanged?: readonly Seen[]): Promise<Committed>;
}

/** `revision` is that of the transaction, which is what the records written have from now on. */
export type Committed = { readonly written: boolean; readonly revision: number };

export function makeRecords(store: Pick<Store, "get" | "txn">): Records {
  const remembered = new Map<string, Remembered>();

  const remember = (key: string, kv: KeyValue | undefined, parsed?: unknown): void => {
    const known = remembered.get(key);
    if (kv !== undefined && known !== undefined && known.kv.modRevision > kv.modRevision) return; // an answer that was overtaken
    remembered.delete(key);
    if (kv === undefined) return;
    remembered.set(key, known?.kv.modRevision === kv.modRevision ? known : { kv, ...(parsed === undefined ? {} : { parsed }) });
    for (const oldest of remembered.keys()) {
      if (remembered.size <= REMEMBERED) break;
      remembered.delete(oldest);
    }
  };
  const read = async (key: string, fresh: boolean): Promise<Remembered | undefined> => {
    if (fresh || !remembered.has(key)) remember(key, await store.get(key));
    return remembered.get(key);
  };

  return {
    knownBlock(cidr) {
      const key = keyOfBlock(cidr);
      const entry = remembered.get(key);
      return entry && parsed(key, entry, parseBlock);
    },
    knownHandle(id) {
      const key = handleKey(id);
      const entry = remembered.get(key);
      return entry && parsed(key, entry, parseHandle);
    },
    async block(cidr, { fresh }) {
      const key = keyOfBlock(cidr);
      return parsed(key, await read(key, fresh), parseBlock);
    },
    async handle(id, { fresh, guess = false }) {
      const key = handleKey(id);
      if (!fresh && guess && !remembered.has(key)) return { value: undefined, revision: 0 };
      return parsed(key, await read(key, fresh), parseHandle);
    },
    async text(key) {
      const kv = await store.get(key);
      return { value: kv?.value, revision: kv?.modRevision ?? 0 };
    },
    async commit(changes, seen = []) {
      const failure: TxnOp[] = changes.map(({ key }) => ({ do: "get", key }));
      for (const { key } of changes) if (!isCommitSafe(key)) throw new Error(`Cannot write ${key}: it is not a record of IPAM`);
      try {
        const txn = await store.txn({ compares: [...changes, ...seen].map(unchanged), success: changes.map(operation), failure });
        changes.forEach(({ key, value, parsed }, i) => {
          const gone = txn.succeeded && value === undefined;
          remember(key, gone ? undefined : txn.results[i], txn.succeeded ? parsed : undefined);
        });
        return { written: txn.succeeded, revision: txn.revision };
      } catch (e) {
        for (const { key } of changes) remembered.delete(key);
        throw e;
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

type Remembered = { readonly kv: KeyValue; parsed?: unknown };

function parsed<T>(key: string, entry: Remembered | undefined, parse: (text: string) => Result<T, string>): Stored<T> {
  if (entry === undefined) return { value: undefined, revision: 0 };
  if (entry.parsed === undefined) {
    const outcome = parse(entry.kv.value);
    if (!outcome.ok) throw new IpamFault("corrupt", `Cannot use the record at ${key}: ${outcome.error}; run calicoctl ipam check`);
    entry.parsed = outcome.value;
  }
  return { value: entry.parsed as T, revision: entry.kv.modRevision };
}

/** A guard against writing anywhere else by a wrong key. */
function isCommitSafe(key: string): boolean {
  return key.startsWith("/calico/ipam/v2/") || key.startsWith("/calico/resources/v3/projectcalico.org/nodes/");
}

function unchanged({ key, revision }: Seen): Compare {
  return { key, target: "modRevision", is: "==", revision };
}

function operation({ key, value }: Change): TxnOp {
  return value === undefined ? { do: "delete", key } : { do: "put", key, value };
}
