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

export const RESYNC_MS = 60_000;
/** Changes of links and routes come in bursts. */
const SETTLE_MS = 100;
const RETRY_MS = { least: 1_000, most: 30_000 } as const;

export class KernelLoop {
  readonly #options: KernelLoopOptions;
  #running = false;
  #applying = false;
  #again = false;
  #failures = 0;
  #repaired: readonly string[] = [];
  #retry: Cancel | undefined;
  #compare: Cancel | undefined;
  #tick: Cancel | undefined;

  constructor(options: KernelLoopOptions) {
    this.#options = options;
  }

  /** Resolves after the first read of the kernel; the loop then runs until the signal. Rejects if the kernel cannot be read. */
  async start(signal: AbortSignal): Promise<void> {
    const changes = this.#options.kernel.changes(signal);
    await this.#compareNow();
    this.#running = true;
    signal.addEventListener("abort", () => this.#stop());
    this.#tickLater();
    this.#guarded(() => this.#follow(changes));
  }

  /** Something is wanted: write it soon. */
  poke(): void {
    if (this.#running) this.#guarded(() => this.#applyAll());
  }

  #stop(): void {
    this.#running = false;
    this.#tick?.();
    this.#retry?.();
    this.#compare?.();
  }

  #tickLater(): void {
    this.#tick = this.#options.clock.after(RESYNC_MS, () => {
      this.#compareSoon(0);
      this.#tickLater();
    });
  }

  async #follow(changes: ReturnType<RouteKernel["changes"]>): Promise<void> {
    for await (const { view, gone } of changes) {
      if (view || gone.some((dst) => this.#options.table.isPresent(dst))) this.#compareSoon(SETTLE_MS);
    }
  }

  #compareSoon(delayMs: number): void {
    if (this.#compare !== undefined || !this.#running) return;
    this.#compare = this.#options.clock.after(delayMs, () => {
      this.#compare = undefined;
      this.#guarded(async () => {
        await this.#compareNow();
        await this.#applyAll();
      });
    });
  }

  async #compareNow(): Promise<void> {
    const { kernel, table, log, onReach } = this.#options;
    const view = await kernel.read();
    const altered = table.compare(view.own);
    this.#repaired = [...this.#repaired, ...altered];
    onReach(view.reach);
    if (altered.length > 0) log.warn("routes were altered by someone else", { count: altered.length, routes: altered.slice(0, 10) });
  }

  async #applyAll(): Promise<void> {
    this.#again = true;
    if (this.#applying) return;
    this.#applying = true;
    try {
      while (this.#again && this.#running) {
        this.#again = false;
        await this.#applyOnce();
      }
    } finally {
      this.#applying = false;
    }
  }

  async #applyOnce(): Promise<void> {
    const { table, clock, onApplied } = this.#options;
    const began = clock.now();
    const repaired = this.#repaired;
    this.#repaired = [];
    const report = await table.apply();
    if (report.changed.length > 0 || repaired.length > 0) onApplied(report, clock.now() - began, repaired);
    this.#failures = report.failed.size > 0 ? this.#failures + 1 : 0;
    if (this.#failures > 0) this.#retryLater(Math.min(RETRY_MS.least * 2 ** (this.#failures - 1), RETRY_MS.most), () => this.#applyAll());
  }

  #retryLater(ms: number, action: () => Promise<void>): void {
    this.#retry?.();
    this.#retry = this.#options.clock.after(ms, () => this.#guarded(action));
  }

  /** The kernel as a whole failing (no socket, no memory) is logged and tried again; what is wanted stays wanted. */
  #guarded(action: () => Promise<void>): void {
    action().catch((error: unknown) => {
      if (!this.#running) return;
      this.#options.log.error("kernel routes were not brought up to date, trying again", { error });
      this.#retryLater(RETRY_MS.least, async () => this.#compareSoon(0));
    });
  }
}
