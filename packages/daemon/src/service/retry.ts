export interface RetryOptions {
  readonly signal: AbortSignal;
  /** First delay; doubles up to `maxMs`, each time between half and all of it at random. */
  readonly minMs?: number;
  readonly maxMs?: number;
  readonly onError?: (error: unknown, attempt: number, delayMs: number) => void;
  readonly random?: () => number;
}

/** Call `action` until it resolves. Waits between tries with jittered, bounded back-off; throws only the signal's reason. */
export async function retry<T>(action: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { signal, minMs = 50, maxMs = 2000, onError, random = Math.random } = options;
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await action(attempt);
    } catch (error) {
      if (signal.aborted) throw error;
      const delayMs = Math.min(maxMs, minMs * 2 ** Math.min(attempt - 1, 20)) * (0.5 + random() / 2);
      onError?.(error, attempt, delayMs);
      await pause(delayMs, signal);
    }
  }
}

/** Resolve after `ms`, or at once when the signal fires. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
