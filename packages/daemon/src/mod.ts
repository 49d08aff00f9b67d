export { makeLogger, type Logger, type LogLevel } from "./adapter/logger.ts";
export { exitClean } from "./adapter/exit.ts";
export { untilSignal } from "./adapter/signals.ts";
export { makeMetrics, type Metrics, type MetricSpec } from "./adapter/metrics.ts";
export { connectUnix, listenUnix, readLines, type UnixServer } from "./adapter/unix-socket.ts";
export { serveHealth, type HealthReport, type HealthServer } from "./adapter/health.ts";
export { endSoon } from "./service/end-soon.ts";
export { pause, retry, type RetryOptions } from "./service/retry.ts";
export { daemonCommand, type DaemonOptions, etcdWasGiven, natsAccessOptions, numberOption } from "./adapter/command.ts";
