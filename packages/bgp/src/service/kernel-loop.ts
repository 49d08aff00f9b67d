/**
 * Drives the route table: writes soon after something is wanted, one write at a time; tries refused routes again with
 * back-off; compares with the kernel when it says that something changed, and every minute.
 */
import type { Logger } from "@calico/daemon";
import type { Reachability } from "../domain/kernel/next-hop.ts";
import type { Cancel, Clock, RouteKernel } from "../ports.ts";
import type { ApplyReport, RouteTable } from "./route-table.ts";

export type KernelLoopOptions = {
  readonly kernel: RouteKernel;
  readonly table: RouteTable;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where next hops are has been read (again): say what is wanted now. */
  readonly onReach: (reach: Reachability) => void;
  readonly onApplied: (report: ApplyReport, kernelMs: number, repaired: readonly string[]) => void;
};

export interface KernelLoop {
  /** The first read; after it the loop runs until the signal. */
  start(signal: AbortSignal): Promise<void>;
  /** Something is wanted: write it soon. */
  poke(): void;
  /** Read the kernel and repair, now or after what is under way. */
  compareSoon(delayMs?: number): void;
}

export const RESYNC_MS = 60_000;
const SETTLE_MS = 100;
const RETRY_MS = { least: 1_000, most: 30_000 } as const;

export function makeKernelLoop(options: KernelLoopOptions): KernelLoop {
  const { kernel, table, clock, log } = options;
  let started = false;
  let stopped = false;
  let applying = false;
  let again = false;
  let failures = 0;
  let repaired: readonly string[] = [];
  let retry: Cancel | undefined;
  let compare: Cancel | undefined;

  async function compareNow(): Promise<void> {
    const view = await kernel.read();
    repaired = [...repaired, ...table.compare(view.own)];
    options.onReach(view.reach);
    if (repaired.length > 0) log.warn("routes were altered by someone else", { count: repaired.length, routes: repaired.slice(0, 10) });
  }

  async function applyAll(): Promise<void> {
    if (applying) {
      again = true;
      return;
    }
    applying = true;
    try {
      do {
        again = false;
        await applyOnce();
      } while (again && !stopped);
    } finally {
      applying = false;
    }
  }

  async function applyOnce(): Promise<void> {
    const began = clock.now();
    const put = repaired;
    repaired = [];
    const report = await table.apply();
    if (report.changed.length > 0 || put.length > 0) options.onApplied(report, clock.now() - began, put);
    failures = report.failed.size > 0 ? failures + 1 : 0;
    retry?.();
    retry = undefined;
    if (failures > 0) retry = clock.after(Math.min(RETRY_MS.least * 2 ** (failures - 1), RETRY_MS.most), poke);
  }

  /** The kernel as a whole failing (no socket, no memory) is logged and tried again; what is wanted stays wanted. */
  function guarded(action: () => Promise<void>): void {
    action().catch((error: unknown) => {
      log.error("kernel routing table could not be reached", { error });
      if (!stopped) retry = clock.after(RETRY_MS.least, () => guarded(action));
    });
  }

  function poke(): void {
    if (started && !stopped) guarded(applyAll);
  }

  function compareSoon(delayMs = SETTLE_MS): void {
    if (compare !== undefined || stopped) return;
    compare = clock.after(delayMs, () => {
      compare = undefined;
      guarded(async () => {
        await compareNow();
        await applyAll();
      });
    });
  }

  function tickEveryMinute(): Cancel {
    let cancel = clock.after(RESYNC_MS, function tick() {
      compareSoon(0);
      cancel = clock.after(RESYNC_MS, tick);
    });
    return () => cancel();
  }

  async function follow(signal: AbortSignal): Promise<void> {
    for await (const change of kernel.changes(signal)) {
      if (change.view || change.gone.some((dst) => table.isPresent(dst))) compareSoon();
    }
  }

  return {
    async start(signal) {
      await compareNow();
      started = true;
      const stopTicks = tickEveryMinute();
      signal.addEventListener("abort", () => {
        stopped = true;
        stopTicks();
        retry?.();
        compare?.();
      });
      guarded(() => follow(signal));
      poke();
    },
    poke,
    compareSoon,
  };
}
