import type { HealthReport, Metrics, MetricSpec } from "@calico/daemon";
import type { Feed, FeedStatus } from "./feed.ts";
import type { SourceName } from "./home.ts";

/** What every reader of the bus says of its reading; part of each daemon's table. */
export const FEED_METRICS = [
  { name: "calico_feed_lag_revisions", type: "gauge", help: "Revisions of the store that have not come in." },
  { name: "calico_feed_lag_seconds", type: "gauge", help: "Time since it was last known that nothing was missing." },
  { name: "calico_feed_source", type: "gauge", help: "1 for the source that is read.", labels: ["source"] },
  { name: "calico_feed_switches_total", type: "counter", help: "Changes of server or source because of lag.", labels: ["to"] },
  { name: "calico_feed_bad_messages_total", type: "counter", help: "Messages passed over because they carry no JSON object." },
] as const satisfies readonly MetricSpec[];

export function makeFeedGauges(metrics: Metrics | undefined): {
  readonly badMessages: number;
  bad(): void;
  switched(to: SourceName | "otherServer"): void;
  show(status: FeedStatus): void;
} {
  let badMessages = 0;
  return {
    get badMessages() {
      return badMessages;
    },
    bad() {
      badMessages++;
      metrics?.inc("calico_feed_bad_messages_total");
    },
    switched: (to) => metrics?.inc("calico_feed_switches_total", { to }),
    show({ behindRevisions, lagMs, source }) {
      metrics?.set("calico_feed_lag_revisions", behindRevisions ?? 0);
      metrics?.set("calico_feed_lag_seconds", lagMs / 1000);
      for (const name of ["nats", "etcd"] as const) metrics?.set("calico_feed_source", name === source ? 1 : 0, { source: name });
    },
  };
}

/** A daemon's health with how its feed is. Lag does not make an agent unready: what it programmed stays right for what it knows. */
export function withFeed(report: HealthReport, feed: Pick<Feed, "status">): HealthReport {
  return { ...report, detail: { ...report.detail, feed: feed.status() } };
}
