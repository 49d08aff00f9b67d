import type { HealthReport, Metrics } from "@calico/daemon";
import type { SyncerObserver } from "./syncer.ts";

/** Keys that are remembered as passed over, and as many as are named in one report. */
const MAX_PASSED_OVER = 1000;
const MAX_SHOWN = 20;

export interface SyncerReport extends HealthReport {
  readonly detail: {
    readonly leads: boolean;
    readonly upToDate: boolean;
    readonly revision: number;
    readonly held?: string;
    /** The newest of the keys whose value is not on the log, each with its reason. */
    readonly passedOver?: Readonly<Record<string, string>>;
    readonly passedOverCount?: number;
  };
}

/** What the syncer says of itself: ready when it leads with an up to date log, or stands by. */
export function makeSyncerHealth(metrics: Metrics): { readonly observer: SyncerObserver; readonly report: () => SyncerReport } {
  let leads = false;
  let upToDate = false;
  let newest = 0;
  let held: string | undefined;
  /** Keys whose newest value is not on the log, and why. */
  const passedOver = new Map<string, string>();
  const detail = () => {
    const keys = [...passedOver].slice(-MAX_SHOWN);
    const some = keys.length > 0 && { passedOver: Object.fromEntries(keys), passedOverCount: passedOver.size };
    return { leads, upToDate, revision: newest, ...(held !== undefined && { held }), ...some };
  };
  const moveTo = (revision: number) => {
    newest = Math.max(newest, revision);
    metrics.set("calico_syncer_revision", newest);
  };
  return {
    observer: {
      leading(now) {
        leads = now;
        upToDate = false;
        metrics.set("calico_syncer_leading", now ? 1 : 0);
      },
      published({ op, revision, key }) {
        metrics.inc("calico_syncer_published_total", { op });
        passedOver.delete(key);
        moveTo(revision);
      },
      refused({ op, key, revision, reason }) {
        if (op === "delete") return void passedOver.delete(key);
        metrics.inc("calico_syncer_refused_total", { reason });
        if (passedOver.size < MAX_PASSED_OVER || passedOver.has(key)) passedOver.set(key, `${reason}, revision ${revision}`);
      },
      resynced(reason) {
        upToDate = false;
        metrics.inc("calico_syncer_resyncs_total", { reason });
      },
      held: (reason) => void (held = reason),
      caughtUp(revision) {
        upToDate = true;
        moveTo(revision);
      },
    },
    report: () => ({
      live: true,
      ready: !leads || upToDate,
      detail: detail(),
    }),
  };
}
