/** The bus: etcd's changes on an ordered, replayable log; who follows it; and what the agents report. */
export type { FeedEvent } from "./domain/feed-state.ts";
export { seenSince } from "./service/seen-since.ts";
export { etcdFallback, type EtcdFallback, type FeedOptions, openEtcdFeed, openFeed } from "./adapter/open.ts";
export type { Feed, FeedStatus } from "./service/feed.ts";
export { FEED_METRICS, withFeed } from "./service/feed-gauges.ts";
export type { HomingLimits } from "./domain/homing.ts";
export { openReporter, type Reporter, type ReporterOptions } from "./adapter/reporter.ts";
export { openReports, type Report, type ReportsOptions } from "./adapter/reports.ts";
export { type HistoryMessage, type HistoryOptions, type LogHistory, openHistory } from "./adapter/history.ts";
export { type NatsAccess, natsConnection } from "./adapter/nats-access.ts";
export {
  type NatsUser,
  type Permissions,
  permissionsFor,
  type Principal,
  renderAuthorization,
  type Role,
  ROLES,
} from "./domain/permissions.ts";
export { escapeToken } from "./domain/subject.ts";
export { openPast, type Past, type PastMessage, type PastOptions } from "./adapter/past.ts";
