/** Gathers what is pushed within one turn of the event loop into batches of bounded size. */
export interface Batches<T> extends AsyncIterable<readonly T[]> {
  push(items: readonly T[]): void;
  /** How many wait to be read. */
  readonly size: number;
  /** Resolves when fewer than `limit` wait. */
  drainedBelow(limit: number): Promise<void>;
  end(): void;
  fail(error: unknown): void;
}

export function makeBatches<T>(maxBatch: number): Batches<T> {
  const items: T[] = [];
  const waiters: { below: number; resolve: () => void }[] = [];
  let over: { readonly error?: unknown } | undefined;
  let wake: (() => void) | undefined;
  const notify = () => {
    wake?.();
    wake = undefined;
  };
  const release = () => {
    for (let i = waiters.length - 1; i >= 0; i--) {
      if (over !== undefined || items.length < waiters[i]!.below) waiters.splice(i, 1)[0]!.resolve();
    }
  };
  const finish = (end: { readonly error?: unknown }) => {
    over ??= end;
    release();
    notify();
  };
  return {
    get size() {
      return items.length;
    },
    push(more) {
      if (more.length === 0 || over !== undefined) return;
      for (const item of more) items.push(item);
      notify();
    },
    drainedBelow(limit) {
      if (items.length < limit || over !== undefined) return Promise.resolve();
      return new Promise((resolve) => waiters.push({ below: limit, resolve }));
    },
    end: () => finish({}),
    fail: (error) => finish({ error }),
    async *[Symbol.asyncIterator]() {
      for (;;) {
        if (over !== undefined) {
          if ("error" in over) throw over.error;
          return;
        }
        if (items.length === 0) {
          await new Promise<void>((resolve) => (wake = resolve));
          await new Promise<void>((resolve) => setImmediate(resolve)); // the rest of this turn's arrivals join
          continue;
        }
        const batch = items.splice(0, maxBatch);
        release();
        yield batch;
      }
    },
  };
}
