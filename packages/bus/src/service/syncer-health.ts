import type { HealthReport, Metrics } from "@calico/daemon";
import type { SyncerObserver } from "./syncer.ts";

/** What the syncer says of itself: ready when it leads with an up to date log, or stands by. */
export function makeSyncerHealth(metrics: Metrics): { readonly observer: SyncerObserver; readonly report: () => HealthReport } {
  let leads = false;
  let upToDate = false;
  let newest = 0;
  let held: string | undefined;
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
      published(op, revision) {
        metrics.inc("calico_syncer_published_total", { op });
        moveTo(revision);
      },
      refused: (reason) => metrics.inc("calico_syncer_refused_total", { reason }),
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
      detail: { leads, upToDate, revision: newest, ...(held !== undefined && { held }) },
    }),
  };
}
