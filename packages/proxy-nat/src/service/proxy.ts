/**
 * The one loop of the daemon: events into the core, what changed into the kernel. Nothing is written before the feed is in sync, so the rules
 * of the process before stay in force until then. While a write runs, events gather and go out together.
 */
import { seenSince } from "@calico/bus";
import type { NatCore } from "../domain/core.ts";
import type { Clock, Feed } from "../ports.ts";
import type { Passes } from "./pass.ts";
import type { ProxyState, Recorder } from "./recorder.ts";
import { makeWake } from "./wake.ts";

export interface Proxy {
  /** Runs until the signal fires or the feed ends. */
  run(signal: AbortSignal): Promise<void>;
  state(): ProxyState;
}

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

/** The daemon's loop over its ports. */
export function makeProxy(ports: {
  readonly feed: Feed;
  readonly core: NatCore;
  readonly passes: Passes;
  readonly recorder: Recorder;
  readonly clock: Clock;
}): Proxy {
  const { core, passes, recorder, clock } = ports;
  const wake = makeWake();
  let state: ProxyState = { inSync: false, revision: 0, failure: undefined };
  let failures = 0;
  /** When the oldest event that is not yet in the kernel became known to the bus. */
  let arrivedMs: number | undefined;

  async function consume(signal: AbortSignal): Promise<void> {
    for await (const batch of ports.feed) {
      if (signal.aborted) return;
      arrivedMs ??= seenSince(batch, clock.nowMs());
      for (const event of batch) {
        state = { ...state, revision: Math.max(state.revision, event.revision), inSync: state.inSync || event.kind === "inSync" };
        const problem = core.update(event);
        if (problem !== undefined) recorder.refused(problem);
      }
      if (state.inSync) wake.set();
    }
  }

  async function pass(): Promise<void> {
    const at = { revision: state.revision, queuedMs: arrivedMs === undefined ? 0 : clock.nowMs() - arrivedMs };
    arrivedMs = undefined;
    try {
      const done = await passes.run();
      state = { ...state, failure: undefined };
      recorder.passed(done, at);
      if (done.full || failures > 0) recorder.status(state);
      failures = 0;
    } catch (error) {
      failures++;
      state = { ...state, failure: error instanceof Error ? error.message : String(error) };
      recorder.failed(error, failures);
      recorder.status(state);
    }
  }

  async function work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (failures > 0) await clock.pause(Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures - 1, 10)), signal);
      else await wake.wait(state.inSync ? passes.dueMs() : Number.POSITIVE_INFINITY, { clock, signal });
      if (!signal.aborted) await pass();
    }
  }

  return {
    async run(signal) {
      const ended = new AbortController();
      const working = work(AbortSignal.any([signal, ended.signal]));
      try {
        await consume(signal);
      } finally {
        ended.abort("the feed ended");
        await working;
      }
    },
    state: () => state,
  };
}
