import type { Clock } from "../ports.ts";

/** A flag that one loop waits for. Setting it many times before it is seen counts as once. */
export interface Wake {
  set(): void;
  /** Resolves, and clears the flag, when it is set; or after `ms`, or when the signal fires. */
  wait(ms: number, options: { readonly clock: Clock; readonly signal: AbortSignal }): Promise<void>;
}

export function makeWake(): Wake {
  let isSet = false;
  let notify: (() => void) | undefined;
  return {
    set() {
      isSet = true;
      notify?.();
    },
    async wait(ms, { clock, signal }) {
      if (!isSet && !signal.aborted) {
        const timer = new AbortController();
        await new Promise<void>((resolve) => {
          notify = resolve;
          signal.addEventListener("abort", notify, { once: true });
          if (ms < Number.POSITIVE_INFINITY) clock.pause(ms, timer.signal).then(resolve, resolve);
        });
        if (notify !== undefined) signal.removeEventListener("abort", notify);
        notify = undefined;
        timer.abort();
      }
      isSet = false;
    },
  };
}
