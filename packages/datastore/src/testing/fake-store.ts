import { err, ok } from "@calico/model";
import { type Compare, type KeyValue, type Leadership, type Store, StoreUnavailable, type TxnOp, type WatchEvent } from "../ports.ts";
import { makeQueue } from "../adapter/queue.ts";

/** A fault for the next matching operation: `before` leaves the store as it was, `after` does the write and loses the answer. */
export interface Fault {
  readonly when: "before" | "after";
  /** Which operation; absent is any. */
  readonly op?: "get" | "list" | "create" | "update" | "put" | "delete" | "txn";
  readonly times?: number;
}

export interface FakeStore extends Store {
  readonly revision: number;
  failNext(fault: Fault): void;
  /** Forget history up to `revision`, as etcd's compaction does; watches that ask for older get `compacted`. */
  compact(revision?: number): void;
  /** End the current leader's lease, as when it can no longer reach etcd. */
  expireLeader(name: string): void;
  /** Every key and value, for comparing with something else. */
  dump(): Map<string, KeyValue>;
}

type Change = Extract<WatchEvent, { kind: "put" | "delete" }>;

/** etcd in memory: same revisions, same refusals, same watch guarantees. */
export function makeFakeStore(): FakeStore {
  const keys = new Map<string, KeyValue>();
  const history: Change[] = [];
  const watchers = new Set<(changes: readonly Change[]) => void>();
  const faults: { fault: Fault; left: number }[] = [];
  const elections = new Map<string, Candidate[]>();
  let revision = 1;
  let compacted = 0;
  let closed = false;

  function runOps(ops: readonly TxnOp[]): (KeyValue | undefined)[] {
    const changes: Change[] = [];
    const next = revision + 1;
    const written = ops.flatMap((op) => (op.do === "get" ? [] : [op.key]));
    const twice = written.find((key, i) => written.indexOf(key) !== i);
    if (twice !== undefined) throw new Error(`Cannot run the transaction: etcd refuses the duplicate key ${twice}`);
    const results = ops.map((op) => {
      const before = keys.get(op.key);
      if (op.do === "get") return before;
      if (op.do === "delete") {
        if (keys.delete(op.key)) changes.push({ kind: "delete", key: op.key, modRevision: next });
        return before;
      }
      const kv: KeyValue = { key: op.key, value: op.value, modRevision: next, createRevision: before?.createRevision ?? next };
      keys.set(op.key, kv);
      changes.push({ kind: "put", ...kv });
      return kv;
    });
    if (changes.length > 0) {
      revision = next;
      history.push(...changes);
      for (const watcher of watchers) watcher(changes);
    }
    return results;
  }

  function holds({ isPrefix, ...compare }: Compare): boolean {
    if (!isPrefix) return holdsFor(keys.get(compare.key), compare);
    const below = [...keys.values()].filter((kv) => kv.key.startsWith(compare.key));
    return below.length === 0 ? holdsFor(undefined, compare) : below.every((kv) => holdsFor(kv, compare));
  }

  function holdsFor(kv: KeyValue | undefined, { target, is, revision: want }: Omit<Compare, "key">): boolean {
    const have = kv?.[target] ?? 0;
    if (is === "==") return have === want;
    if (is === "!=") return have !== want;
    return is === ">" ? have > want : have < want;
  }

  async function operation<T>(op: NonNullable<Fault["op"]>, key: string, run: () => T): Promise<T> {
    await Promise.resolve();
    if (closed) throw new StoreUnavailable(`Cannot ${op} ${key}: the store was closed`, { outcome: "notApplied" });
    const i = faults.findIndex(({ fault }) => fault.op === undefined || fault.op === op);
    const hit = i < 0 ? undefined : faults[i]!;
    if (hit !== undefined && --hit.left <= 0) faults.splice(i, 1);
    if (hit?.fault.when === "before") throw new StoreUnavailable(`Cannot ${op} ${key}: injected fault`, { outcome: "notApplied" });
    const result = run();
    if (hit !== undefined) throw new StoreUnavailable(`Cannot ${op} ${key}: injected fault, the answer is lost`, { outcome: "unknown" });
    return result;
  }

  async function* watch(
    prefix: string,
    { fromRevision, signal }: { fromRevision: number; signal: AbortSignal },
  ): AsyncGenerator<WatchEvent> {
    if (signal.aborted) return;
    const queue = makeQueue<WatchEvent>();
    const take = (changes: readonly Change[]) => {
      const mine = changes.filter(({ key, modRevision }) => key.startsWith(prefix) && modRevision >= fromRevision);
      mine.forEach((change, i) => queue.push(mine[i + 1]?.modRevision === change.modRevision ? { ...change, more: true } : change));
    };
    const stop = () => queue.end();
    if (fromRevision <= compacted || fromRevision > revision + 1) {
      yield { kind: "compacted", revision: fromRevision <= compacted ? compacted : revision };
      return;
    }
    take(history);
    watchers.add(take);
    signal.addEventListener("abort", stop, { once: true });
    try {
      yield* queue;
    } finally {
      watchers.delete(take);
      signal.removeEventListener("abort", stop);
    }
  }

  const missing = (key: string) => err({ kind: "notFound", key } as const);
  return {
    get revision() {
      return revision;
    },
    get: (key) => operation("get", key, () => keys.get(key)),
    list: (prefix, options = {}) =>
      operation("list", prefix, () => {
        const at = options.revision ?? revision;
        if (at < compacted)
          throw new StoreUnavailable(`Cannot list ${prefix}: required revision has been compacted`, { outcome: "notApplied" });
        return { items: snapshotAt(keys, history, revision, at).filter(({ key }) => key.startsWith(prefix)), revision: at };
      }),
    create: (key, value) =>
      operation("create", key, () => {
        const current = keys.get(key);
        return current === undefined ? ok(runOps([{ do: "put", key, value }])[0]!) : err({ kind: "alreadyExists", key, current } as const);
      }),
    update: (key, value, modRevision) =>
      operation("update", key, () => {
        const current = keys.get(key);
        if (current === undefined) return missing(key);
        if (modRevision !== undefined && current.modRevision !== modRevision) return err({ kind: "conflict", key, current } as const);
        return ok(runOps([{ do: "put", key, value }])[0]!);
      }),
    put: (key, value) => operation("put", key, () => runOps([{ do: "put", key, value }])[0]!),
    delete: (key, modRevision) =>
      operation("delete", key, () => {
        const current = keys.get(key);
        if (current === undefined) return missing(key);
        if (modRevision !== undefined && current.modRevision !== modRevision) return err({ kind: "conflict", key, current } as const);
        runOps([{ do: "delete", key }]);
        return ok(current);
      }),
    txn: ({ compares, success, failure = [] }) =>
      operation("txn", compares[0]?.key ?? "", () => {
        const succeeded = compares.every(holds);
        const results = runOps(succeeded ? success : failure);
        return { succeeded, revision, results };
      }),
    watch,
    elect: (name, id, signal) => enterElection(elections, { name, id, signal }, () => ++revision),
    async close() {
      closed = true;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
    },
    failNext: (fault) => void faults.push({ fault, left: fault.times ?? 1 }),
    compact(at = revision) {
      compacted = at;
      history.splice(0, history.length, ...history.filter(({ modRevision }) => modRevision > at));
    },
    expireLeader: (name) => elections.get(name)?.[0]?.leave("its lease ended"),
    dump: () => new Map(keys),
  };
}

/** The keys as of an older revision, by undoing what came after. Exact as long as values are in the history that is left. */
function snapshotAt(keys: ReadonlyMap<string, KeyValue>, history: readonly Change[], now: number, at: number): KeyValue[] {
  if (at > now) throw new StoreUnavailable("Cannot list: required revision is a future revision", { outcome: "notApplied" });
  const then = new Map(keys);
  if (at < now) {
    for (const { key, modRevision } of history) if (modRevision > at) then.delete(key);
    for (const change of history) {
      if (change.modRevision > at) continue;
      if (change.kind === "put") then.set(change.key, change);
      else then.delete(change.key);
    }
  }
  return [...then.values()]
    .map(({ key, value, modRevision, createRevision }) => ({ key, value, modRevision, createRevision }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

interface Candidate {
  win(): void;
  leave(reason: string): void;
}

function enterElection(
  elections: Map<string, Candidate[]>,
  { name, id, signal }: { name: string; id: string; signal: AbortSignal },
  nextRevision: () => number,
): Promise<Leadership> {
  const queue = elections.get(name) ?? [];
  elections.set(name, queue);
  const epoch = nextRevision();
  const lost = new AbortController();
  return new Promise((resolve, reject) => {
    const me: Candidate = {
      win: () => resolve({ lost: lost.signal, epoch, resign: async () => me.leave("it resigned") }),
      leave(reason) {
        const at = queue.indexOf(me);
        if (at < 0) return;
        queue.splice(at, 1);
        lost.abort(new Error(`${id} no longer leads ${name}: ${reason}`));
        if (at === 0) queue[0]?.win();
      },
    };
    const abort = () => {
      me.leave("it gave up");
      reject(signal.reason);
    };
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    queue.push(me);
    if (queue.length === 1) me.win();
  });
}
