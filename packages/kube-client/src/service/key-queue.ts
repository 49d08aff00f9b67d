/**
 * Keys to be handled, each by one worker at a time, each again after a failure. A key that is added while it is being handled is
 * handled once more: what was read before may be old.
 */
export interface KeyQueue {
  add(key: string): void;
  readonly pending: number;
  readonly failing: number;
  /** Resolves when the signal fires and what was begun is done. */
  run(): Promise<void>;
}

export interface KeyQueueOptions {
  readonly handle: (key: string) => Promise<void>;
  readonly signal: AbortSignal;
  readonly workers?: number;
  readonly onFailure: (key: string, error: unknown, retry: { readonly attempt: number; readonly delayMs: number }) => void;
}

const FIRST_DELAY_MS = 20;
const MAX_DELAY_MS = 5000;

export function makeKeyQueue({ handle, signal, workers = 8, onFailure }: KeyQueueOptions): KeyQueue {
  const ready = new Set<string>();
  const busy = new Set<string>();
  const failures = new Map<string, number>();
  const timers = new Map<string, ReturnType<typeof setTimeout>>();
  let sleepers: (() => void)[] = [];
  const wake = () => {
    const now = sleepers;
    sleepers = [];
    for (const w of now) w();
  };
  const add = (key: string) => {
    clearTimeout(timers.get(key));
    timers.delete(key);
    ready.add(key);
    wake();
  };
  const take = (): string | undefined => {
    for (const key of ready) {
      if (busy.has(key)) continue;
      ready.delete(key);
      return key;
    }
    return undefined;
  };
  async function work(): Promise<void> {
    while (!signal.aborted) {
      const key = take();
      if (key === undefined) {
        await new Promise<void>((resolve) => sleepers.push(resolve));
        continue;
      }
      busy.add(key);
      try {
        await handle(key);
        failures.delete(key);
      } catch (error) {
        const attempt = (failures.get(key) ?? 0) + 1;
        failures.set(key, attempt);
        const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt - 1, 10));
        onFailure(key, error, { attempt, delayMs });
        if (!ready.has(key))
          timers.set(
            key,
            setTimeout(() => add(key), delayMs),
          );
      } finally {
        busy.delete(key);
        if (ready.has(key)) wake();
      }
    }
  }
  return {
    add,
    get pending() {
      return ready.size + busy.size + timers.size;
    },
    get failing() {
      return failures.size;
    },
    async run() {
      signal.addEventListener("abort", wake, { once: true });
      await Promise.all(Array.from({ length: workers }, work));
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}
