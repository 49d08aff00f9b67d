/** What the daemon says of itself: metrics, health, reports on the bus, answers on the status socket. */
import { type FeedEvent, type Reporter, seenSince } from "@calico/bus";
import type { HealthReport, Metrics } from "@calico/daemon";
import { z } from "zod";
import { derivePeerStatus, deriveStatus } from "../domain/status.ts";
import type { SpeakerView } from "../domain/status.ts";
import type { Entry } from "../domain/recorder.ts";
import type { Clock } from "../ports.ts";
import type { ApplyReport } from "./route-table.ts";

export interface Recorder {
  /** The feed has brought us here. */
  took(revision: number, inSync: boolean, batch?: readonly FeedEvent[]): void;
  planned(): void;
  rejected(kind: string): void;
  applied(report: ApplyReport, kernelMs: number, repaired: readonly string[]): void;
  /** Something that status shows has changed. */
  changed(): void;
  counted(what: "messagesIn" | "messagesOut" | "faults" | "sessionUp" | "sessionDown"): void;
  health(): HealthReport;
  answer(request: unknown): unknown;
}

export type RecorderOptions = {
  readonly node: string;
  readonly version: string;
  readonly metrics: Metrics;
  readonly reporter: Pick<Reporter, "status" | "applied">;
  readonly clock: Clock;
  readonly speaker: () => { view(): SpeakerView; history(address: string): readonly Entry[] | undefined };
};

const requestSchema = z.discriminatedUnion("op", [
  z.object({ op: z.literal("status") }),
  z.object({ op: z.literal("peer"), address: z.string() }),
]);

/** At most this often on the bus. */
const STATUS_EVERY_MS = 500;

export function makeRecorder({ node, version, metrics, reporter, clock, speaker }: RecorderOptions): Recorder {
  let revision = 0;
  let inSync = false;
  let tookAt = clock.now();
  let plannedAt = clock.now();
  let waiting = false;

  function setGauges(): void {
    const view = speaker().view();
    const { prefixes, paths, stale } = view.routing.rib.counts();
    const up = view.peers.filter((peer) => peer.state.at === "established").length;
    metrics.set("calico_bgp_peers", up, { state: "established" });
    metrics.set("calico_bgp_peers", view.peers.length - up, { state: "other" });
    metrics.set("calico_bgp_prefixes", prefixes);
    metrics.set("calico_bgp_paths", paths);
    metrics.set("calico_bgp_stale_paths", stale);
    metrics.set("calico_bgp_restarting", view.restarting ? 1 : 0);
    for (const what of ["wanted", "present", "inherited", "failed"] as const)
      metrics.set("calico_bgp_kernel_routes", view.kernel[what], { what });
  }

  function say(): void {
    waiting = false;
    setGauges();
    const { ready, detail } = health();
    reporter.status({ healthy: ready, inSync, revision, version, detail, at: new Date(clock.now()).toISOString() });
  }

  function changed(): void {
    if (waiting) return;
    waiting = true;
    clock.after(STATUS_EVERY_MS, say);
  }

  /** Ready once routing is what the datastore says; remote peers are listed with their cause, and never make this node unready. */
  function health(): HealthReport {
    const view = speaker().view();
    const disabled = view.plan?.disabled;
    const ready = inSync && view.plan !== undefined && (disabled !== undefined || view.listening.where !== undefined);
    const peers = derivePeerStatus(view).map(({ address, type, state, info, since }) => ({ address, type, state, info, since }));
    return { live: true, ready, detail: { inSync, revision, disabled, restarting: view.restarting, listening: view.listening, peers } };
  }

  return {
    took(at, synced, batch = []) {
      revision = Math.max(revision, at);
      inSync = synced;
      tookAt = seenSince(batch, clock.now());
    },
    planned() {
      plannedAt = clock.now();
    },
    rejected: (kind) => metrics.inc("calico_bgp_objects_rejected_total", { kind }),
    applied(report, kernelMs, repaired) {
      metrics.observe("calico_bgp_apply_seconds", kernelMs / 1000);
      metrics.inc("calico_bgp_route_changes_total", {}, report.changed.length);
      metrics.inc("calico_bgp_routes_repaired_total", {}, repaired.length);
      const now = clock.now();
      const stages = { busMs: plannedAt - tookAt, calcMs: Math.max(0, now - kernelMs - plannedAt), kernelMs };
      reporter.applied({
        revision,
        stages,
        changed: report.changed.slice(0, 100),
        repaired: repaired.slice(0, 100),
        at: new Date(now).toISOString(),
      });
      changed();
    },
    changed,
    counted(what) {
      if (what === "faults") metrics.inc("calico_bgp_update_faults_total");
      else if (what === "messagesIn" || what === "messagesOut")
        metrics.inc("calico_bgp_messages_total", { direction: what === "messagesIn" ? "in" : "out" });
      else metrics.inc("calico_bgp_sessions_total", { change: what === "sessionUp" ? "up" : "down" });
    },
    health,
    answer(request) {
      const asked = requestSchema.safeParse(request);
      if (!asked.success) return { error: 'expected {"op":"status"} or {"op":"peer","address":"…"}' };
      if (asked.data.op === "status") return deriveStatus(speaker().view(), { node, inSync, revision });
      const history = speaker().history(asked.data.address);
      return history === undefined ? { error: `no peer ${asked.data.address}` } : { address: asked.data.address, history };
    },
  };
}
