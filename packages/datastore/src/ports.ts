import type { Result } from "@calico/model";

/** One key as stored. Revisions are etcd's own, store-wide and increasing. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
  readonly createRevision: number;
}

/** Why a compare-and-swap did nothing. `current` is what was found in the same transaction. */
export type StoreConflict =
  | { readonly kind: "alreadyExists"; readonly key: string; readonly current: KeyValue }
  | { readonly kind: "notFound"; readonly key: string }
  | { readonly kind: "conflict"; readonly key: string; readonly current: KeyValue };

/** One condition of a transaction. A key that does not exist has createRevision 0 and modRevision 0. */
export interface Compare {
  readonly key: string;
  /** The condition is one on every key that begins with `key`; if there is none, on one that does not exist. */
  readonly isPrefix?: true;
  readonly target: "modRevision" | "createRevision";
  readonly is: "==" | "!=" | ">" | "<";
  readonly revision: number;
}

export type TxnOp =
  | { readonly do: "get"; readonly key: string }
  /** `createRevision`, where a compare makes sure that the key is the one it was read of: saves the store from sending the old value. */
  | { readonly do: "put"; readonly key: string; readonly value: string; readonly createRevision?: number }
  | { readonly do: "delete"; readonly key: string };

export interface TxnResult {
  readonly succeeded: boolean;
  readonly revision: number;
  /** One per operation of the branch that ran: what get found, what put stored, what delete removed. */
  readonly results: readonly (KeyValue | undefined)[];
}

export type WatchEvent =
  | {
      readonly kind: "put";
      readonly key: string;
      readonly value: string;
      readonly modRevision: number;
      readonly createRevision: number;
      readonly seenAt?: number;
      readonly more?: true;
    }
  /**
   * `seenAt`: when this process heard of it, milliseconds since the epoch; it may wait here before it is yielded.
   * `more`: the next event is of the same transaction.
   */
  | { readonly kind: "delete"; readonly key: string; readonly modRevision: number; readonly seenAt?: number; readonly more?: true }
  /** Everything up to `revision` has been yielded. */
  | { readonly kind: "progress"; readonly revision: number }
  /** The asked-for revision is no longer (or, after a restore, not yet) in the store's history: list again. Always the last event. */
  | { readonly kind: "compacted"; readonly revision: number };

export interface Leadership {
  /** Fires while the lease is still surely ours, so before any other candidate can win. */
  readonly lost: AbortSignal;
  /** Revision at which this leadership began; larger than that of every leader before. */
  readonly epoch: number;
  /** Give the leadership back, so that another need not wait for the lease to end. Never throws. */
  resign(): Promise<void>;
}

/**
 * The store of truth: etcd, or the strict fake of testing.ts. Both pass the same contract suite.
 *
 * Conflicts are results; a store that cannot be reached throws StoreUnavailable within the configured time.
 */
export interface Store extends AsyncDisposable {
  get(key: string): Promise<KeyValue | undefined>;
  /** All keys that begin with `prefix`, in key order, as of one revision (given, or now). */
  list(prefix: string, options?: { readonly revision?: number }): Promise<{ readonly items: KeyValue[]; readonly revision: number }>;
  create(key: string, value: string): Promise<Result<KeyValue, StoreConflict>>;
  update(key: string, value: string, modRevision?: number): Promise<Result<KeyValue, StoreConflict>>;
  put(key: string, value: string): Promise<KeyValue>;
  /** The value is the removed key as it was. */
  delete(key: string, modRevision?: number): Promise<Result<KeyValue, StoreConflict>>;
  txn(txn: {
    readonly compares: readonly Compare[];
    readonly success: readonly TxnOp[];
    readonly failure?: readonly TxnOp[];
  }): Promise<TxnResult>;
  /**
   * Every change of a key that begins with `prefix`, from `fromRevision` on, in revision order. Resumes over broken
   * connections by itself, losing and repeating nothing. Ends after `compacted` and when the signal fires.
   */
  watch(prefix: string, options: { readonly fromRevision: number; readonly signal: AbortSignal }): AsyncIterable<WatchEvent>;
  /** Resolves when `id` leads `name`; rejects with the signal's reason. */
  elect(name: string, id: string, signal: AbortSignal): Promise<Leadership>;
  close(): Promise<void>;
}

/**
 * The store did not answer, or answered with a fault. Whether a write happened is in `outcome`: `unknown` stays so after a read that does not
 * see it, as the write may yet take effect. Only a compare-and-swap that succeeds on what it would have changed rules it out.
 */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
  readonly outcome: "notApplied" | "unknown";
  /** The store is there, and does not let this user do that. */
  readonly denied: boolean;
  constructor(
    message: string,
    options: { readonly outcome: "notApplied" | "unknown"; readonly denied?: boolean; readonly cause?: unknown },
  ) {
    super(message, { cause: options.cause });
    this.outcome = options.outcome;
    this.denied = options.denied ?? false;
  }
}
