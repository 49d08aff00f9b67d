/**
 * The daemon's one loop: events into the graph, the graph's changes into the kernel.
 *
 * Nothing is written before the feed says that it is in sync: until then the kernel keeps what an earlier run left there. What
 * arrives while the kernel is being written is the next batch.
 */
import { seenSince } from "@calico/bus";
import type { KernelEvent } from "@calico/linux";
import type { Logger, Metrics } from "@calico/daemon";
import type { FeedEvent } from "../domain/feed-event.ts";
import type { Graph } from "../domain/graph.ts";
import { graphGauges } from "../metrics.ts";
import type { Reports } from "../ports.ts";
import type { Dataplane, RefreshKind } from "./dataplane.ts";
import { makeDoorbell } from "./doorbell.ts";
import type { Outcome } from "./outcome.ts";

export type FelixPorts = {
  readonly feed: AsyncIterable<readonly FeedEvent[]>;
  readonly links: AsyncIterable<readonly KernelEvent[]>;
  readonly graph: Graph;
  readonly dataplane: Dataplane;
  readonly reports: Reports;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Milliseconds of a clock that only goes forward. */
  readonly nowMs: () => number;
};

export type FelixOptions = {
  readonly signal: AbortSignal;
  readonly version: string;
  /** How often sets and routes are compared with the kernel; rules half as often. */
  readonly refreshMs: number;
  /** The loop rests between applies as long as the last one took, at most this: a burst is taken together. */
  readonly pauseMs?: number;
};

const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 10_000;
const STATUS_MS = 30_000;
/** How many names of kernel objects a report carries. */
const NAMES_MAX = 200;

export class Felix {
  readonly #p: FelixPorts;
  readonly #o: FelixOptions;
  readonly #bell = makeDoorbell();
  #inSync = false;
  #revision = 0;
  #appliedRevision = 0;
  #applied = false;
  #failures: readonly string[] = [];
  #failedInRow = 0;
  #calcMs = 0;
  #oldestMs: number | undefined;
  #work = false;
  #saidFaults = "{}";

  constructor(ports: FelixPorts, options: FelixOptions) {
    this.#p = ports;
    this.#o = options;
  }

  /** Runs until the signal. Rejects if the feed or the kernel's events break in a way that they do not mend themselves. */
  async run(): Promise<void> {
    const { signal } = this.#o;
    signal.addEventListener("abort", () => this.#bell.ring(), { once: true });
    this.#p.metrics.set("felix_resync_state", 1);
    const ended = new AbortController();
    const source = (task: Promise<void>) =>
      task.catch((error: unknown) => {
        ended.abort(error);
        this.#bell.ring();
      });
    const tasks = [source(this.#readFeed()), source(this.#readLinks())];
    await this.#loop(ended.signal);
    if (ended.signal.aborted && !signal.aborted) throw ended.signal.reason;
    await Promise.all(tasks);
  }

  health(): { readonly live: boolean; readonly ready: boolean; readonly detail: Readonly<Record<string, unknown>> } {
    return {
      live: true,
      ready: this.#inSync && this.#applied,
      detail: {
        inSync: this.#inSync,
        applied: this.#applied,
        revision: this.#revision,
        appliedRevision: this.#appliedRevision,
        failures: this.#failures,
        ...this.#detail(),
      },
    };
  }

  #detail(): Readonly<Record<string, unknown>> {
    return { ...this.#p.dataplane.describe(), invalidObjects: [...this.#p.graph.problems.keys()].slice(0, NAMES_MAX) };
  }

  async #readFeed(): Promise<void> {
    for await (const events of this.#p.feed) {
      const start = this.#p.nowMs();
      this.#oldestMs ??= seenSince(events, start);
      for (const event of events) this.#take(event);
      this.#calcMs += this.#p.nowMs() - start;
      this.#work = true;
      this.#bell.ring();
    }
  }

  #take(event: FeedEvent): void {
    this.#revision = Math.max(this.#revision, event.revision);
    if (event.kind === "inSync") {
      if (!this.#inSync) this.#p.log.info("in sync", { revision: event.revision });
      this.#inSync = true;
      return;
    }
    this.#p.graph.update(event);
    this.#p.metrics.inc("felix_calc_graph_updates_processed", { kind: event.ref.ref.kind });
  }

  async #readLinks(): Promise<void> {
    for await (const events of this.#p.links) {
      for (const event of events) {
        if (event.kind === "linkChanged") this.#p.dataplane.linkChanged(event.link.name, event.link.up);
        else if (event.kind === "linkRemoved") this.#p.dataplane.linkChanged(event.name, false);
        else if (event.kind === "overrun") this.#p.dataplane.refresh("rest");
      }
      this.#work = true;
      this.#bell.ring();
    }
  }

  async #loop(ended: AbortSignal): Promise<void> {
    const { signal, refreshMs, pauseMs = 5 } = this.#o;
    const { nowMs } = this.#p;
    const due: Record<RefreshKind | "status", number> = { rest: nowMs() + refreshMs, rules: nowMs() + 2 * refreshMs, status: 0 };
    let notBefore = 0;
    while (!signal.aborted && !ended.aborted) {
      const now = nowMs();
      for (const kind of ["rest", "rules"] as const) {
        if (now < due[kind]) continue;
        due[kind] = now + refreshMs * (kind === "rules" ? 2 : 1);
        this.#p.dataplane.refresh(kind);
        this.#work = true;
      }
      if (this.#work && this.#inSync && now >= notBefore) {
        await this.#applyOnce();
        // As long as the work took: what changed nothing does not hold up the pod that comes next.
        notBefore = nowMs() + Math.max(Math.min(pauseMs, nowMs() - now), this.#retryMs());
        due.status = this.#failures.length > 0 ? 0 : due.status;
      }
      if (nowMs() >= due.status) {
        due.status = nowMs() + STATUS_MS;
        this.#sayStatus();
      }
      const next = Math.min(due.rest, due.rules, due.status, this.#work && this.#inSync ? notBefore : Infinity);
      if (next > nowMs()) await this.#bell.wait(next - nowMs());
    }
  }

  async #applyOnce(): Promise<void> {
    const { graph, dataplane, metrics, nowMs, log } = this.#p;
    this.#work = false;
    const revision = this.#revision;
    const queuedMs = this.#oldestMs === undefined ? 0 : nowMs() - this.#oldestMs;
    this.#oldestMs = undefined;
    const start = nowMs();
    const delta = graph.flush();
    dataplane.stage(delta);
    const calcMs = this.#calcMs + nowMs() - start;
    this.#calcMs = 0;
    for (const { object, revision: at, errors } of graph.takeNewProblems()) {
      for (const { field, value, reason } of errors) log.warn("object not in force", { object, revision: at, field, value, reason });
    }
    const kernelStart = nowMs();
    const outcome = await dataplane.apply();
    const kernelMs = nowMs() - kernelStart;
    metrics.observe("felix_calc_graph_update_time_seconds", calcMs / 1000);
    metrics.observe("felix_int_dataplane_apply_time_seconds", kernelMs / 1000);
    for (const [name, value] of Object.entries(graphGauges(graph))) metrics.set(name, value);
    this.#sayTunnelFaults();
    this.#settle(outcome, revision, { busMs: Math.max(0, queuedMs - calcMs), calcMs, kernelMs });
  }

  #settle(
    outcome: Outcome,
    revision: number,
    stages: { readonly busMs: number; readonly calcMs: number; readonly kernelMs: number },
  ): void {
    const { metrics, log, reports } = this.#p;
    const { changed, repaired, failures } = outcome;
    const advanced = revision > this.#appliedRevision;
    this.#failures = failures;
    if (failures.length > 0) {
      this.#failedInRow++;
      this.#work = true;
      metrics.inc("felix_int_dataplane_failures");
      log.warn("apply failed in part, trying again", { failures: failures.slice(0, 10), count: failures.length, inMs: this.#retryMs() });
    } else {
      this.#failedInRow = 0;
      this.#appliedRevision = revision;
      if (!this.#applied) log.info("first apply done", { revision, changed: changed.length, kernelMs: Math.round(stages.kernelMs) });
      this.#applied = true;
      metrics.set("felix_resync_state", 3);
    }
    if (repaired.length > 0) {
      metrics.inc("felix_int_dataplane_repairs", {}, repaired.length);
      log.warn("kernel state repaired", { repaired: repaired.slice(0, NAMES_MAX) });
    }
    if (changed.length > 0)
      log.info("kernel changed", { revision, changed: changed.slice(0, 20), count: changed.length, ...round(stages) });
    if (failures.length > 0 || (!advanced && changed.length === 0 && repaired.length === 0)) return;
    reports.applied({
      revision,
      stages: round(stages),
      changed: changed.slice(0, NAMES_MAX),
      repaired: repaired.slice(0, NAMES_MAX),
      at: new Date().toISOString(),
    });
  }

  /** Once per fault, not once per look: the status repeats it. */
  #sayTunnelFaults(): void {
    const { tunnelFaults } = this.#p.dataplane;
    const text = JSON.stringify(tunnelFaults);
    if (text === this.#saidFaults) return;
    this.#saidFaults = text;
    if (text === "{}") this.#p.log.info("tunnels available");
    else this.#p.log.warn("tunnel not available", tunnelFaults);
  }

  #retryMs(): number {
    return this.#failedInRow === 0 ? 0 : Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(this.#failedInRow - 1, 10));
  }

  #sayStatus(): void {
    this.#p.reports.status({
      healthy: this.#failures.length === 0,
      inSync: this.#inSync,
      revision: this.#appliedRevision,
      version: this.#o.version,
      detail: { failures: this.#failures, ...this.#detail() },
      at: new Date().toISOString(),
    });
  }
}

function round({ busMs, calcMs, kernelMs }: { readonly busMs: number; readonly calcMs: number; readonly kernelMs: number }): {
  readonly busMs: number;
  readonly calcMs: number;
  readonly kernelMs: number;
} {
  const r = (ms: number) => Math.round(ms * 100) / 100;
  return { busMs: r(busMs), calcMs: r(calcMs), kernelMs: r(kernelMs) };
}
