/** Hands values from callbacks to one async iterator. */
export interface Queue<T> extends AsyncIterable<T> {
  push(value: T): void;
  /** No more values; what was pushed is still read. */
  end(): void;
  fail(error: unknown): void;
}

export function makeQueue<T>(): Queue<T> {
  let items: T[] = [];
  let over: { readonly error?: unknown } | undefined;
  let wake: (() => void) | undefined;
  const notify = () => {
    wake?.();
    wake = undefined;
  };
  return {
    push(value) {
      if (over !== undefined) return;
      items.push(value);
      notify();
    },
    end() {
      over ??= {};
      notify();
    },
    fail(error) {
      over ??= { error };
      notify();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const ready = items;
        items = [];
        yield* ready;
        if (items.length > 0) continue;
        if (over !== undefined) {
          if ("error" in over) throw over.error;
          return;
        }
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}
