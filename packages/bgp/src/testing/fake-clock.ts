import type { Clock } from "../ports.ts";

/** Time that stands still until the test moves it. */
export interface FakeClock extends Clock {
  /** Let so much time pass, firing what is due in order; between firings, promises settle. */
  advance(ms: number): Promise<void>;
}

export function makeFakeClock(startMs = 1_700_000_000_000): FakeClock {
  let nowMs = startMs;
  let order = 0;
  const due = new Map<number, { readonly atMs: number; readonly action: () => void }>();

  function next(untilMs: number): number | undefined {
    let best: number | undefined;
    for (const [id, { atMs }] of due) {
      const leader = best === undefined ? undefined : due.get(best);
      if (atMs <= untilMs && (leader === undefined || atMs < leader.atMs)) best = id;
    }
    return best;
  }

  return {
    now: () => nowMs,
    random: () => 0.999,
    after(ms, action) {
      const id = ++order;
      due.set(id, { atMs: nowMs + ms, action });
      return () => void due.delete(id);
    },
    async advance(ms) {
      const untilMs = nowMs + ms;
      await settle();
      for (let id = next(untilMs); id !== undefined; id = next(untilMs)) {
        const timer = due.get(id);
        due.delete(id);
        nowMs = Math.max(nowMs, timer?.atMs ?? nowMs);
        timer?.action();
        await settle();
      }
      nowMs = untilMs;
    },
  };
}

/** Some turns of the event loop: chains of promises of the code under test, and what they leave for the next turn, run to their end. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
