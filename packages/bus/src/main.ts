/**
 * syncer: any number of instances, one leads. etcd → event log on NATS JetStream.
 * This file only composes; the loop is service/syncer.ts.
 */
import process from "node:process";
import {
  type DaemonOptions,
  daemonCommand,
  endSoon,
  exitClean,
  makeLogger,
  makeMetrics,
  numberOption,
  serveHealth,
  untilSignal,
} from "@calico/daemon";
import { etcdAccess, openEtcd } from "@calico/datastore";
import { makeNatsLog } from "./adapter/nats-log.ts";
import { natsConnection } from "./adapter/nats-access.ts";
import { openNats } from "./adapter/nats.ts";
import { openReporter } from "./adapter/reporter.ts";
import { METRICS } from "./metrics.ts";
import { runSyncer } from "./service/syncer.ts";
import { makeSyncerHealth } from "./service/syncer-health.ts";

const VERSION = "0.1.0";
const STATUS_EVERY_MS = 5000;

interface SyncerFlags extends DaemonOptions {
  readonly replicas: number;
  readonly adopt?: string;
}

const options = daemonCommand("syncer", "carries etcd's changes onto the event log; one of its instances leads", { healthPort: 9104 })
  .addOption(
    numberOption("--replicas <n>", "members of the NATS cluster that hold the log", {
      env: "NATS_REPLICAS",
      default: 1,
      least: 1,
      most: 5,
    }),
  )
  .option("--adopt <clusterGUID>", "publish this cluster though the log tells of another: after etcd was begun anew on purpose")
  .parse()
  .opts<SyncerFlags>();
const signal = untilSignal("SIGTERM", "SIGINT");
const logger = makeLogger({ component: "syncer", node: options.node, level: options.logLevel });
const metrics = makeMetrics(METRICS);

await using app = new AsyncDisposableStack();
const store = app.use(openEtcd({ endpoints: options.etcd, ...etcdAccess(options), log: logger }));
const connection = natsConnection(options);
const nats = openNats({ servers: options.nats, name: `syncer/${options.node}`, log: logger, connection });
app.defer(() => nats.close());
const health = makeSyncerHealth(metrics);
app.use(await serveHealth({ port: options.healthPort, metrics, health: health.report }));

const reporter = openReporter({ servers: options.nats, component: "syncer", node: options.node, log: logger, connection });
app.defer(() => reporter.close());
const telling = setInterval(() => {
  const { ready: healthy, detail } = health.report();
  reporter.status({ healthy, inSync: detail.upToDate, revision: detail.revision, version: VERSION, detail, at: new Date().toISOString() });
}, STATUS_EVERY_MS);
app.defer(() => clearInterval(telling));

logger.info("starting", { etcd: options.etcd, nats: options.nats, replicas: options.replicas });
const log = makeNatsLog(nats, { replicas: options.replicas, signal, log: logger });
const { observer } = health;
// Who stands for election waits for etcd, which may hang.
await endSoon(runSyncer({ store, log, logger, id: `${options.node}/${process.pid}`, signal, observer, adopt: options.adopt }), signal);
logger.info("stopped", { reason: String(signal.reason ?? "end") });
await exitClean(app);
