/**
 * kube-controllers: one per cluster. The Kubernetes API → Calico's datastore.
 * This file only composes; the table of controllers is in controllers.ts.
 */
import { daemonCommand, type DaemonOptions, makeLogger, makeMetrics, retry, serveHealth, untilSignal } from "@calico/daemon";
import { etcdAccess, openEtcd, resourceClient } from "@calico/datastore";
import { loadConfig, openKubeClient } from "@calico/kube-client";
import { makeControllers } from "./controllers.ts";
import { METRICS } from "./metrics.ts";
import { healthOf, reportStatus } from "./service/report.ts";

const program = daemonCommand("kube-controllers", "mirrors the Kubernetes API into Calico's datastore", { healthPort: 9094 })
  .option("--reconcile-seconds <n>", "time between full comparisons", (text) => Number(text), 300)
  .parse();
const options = program.opts<DaemonOptions & { reconcileSeconds: number }>();
const log = makeLogger({ component: "kube-controllers", level: options.logLevel });
const signal = untilSignal("SIGTERM", "SIGINT");
const metrics = makeMetrics(METRICS);

await using app = new AsyncDisposableStack();
const kube = openKubeClient(loadConfig(options.kubeconfig));
app.defer(() => kube.close());
const store = openEtcd({ endpoints: options.etcd, ...etcdAccess(options), log });
app.defer(() => store.close());
const datastore = resourceClient(store);
const controllers = makeControllers({
  ...{ kube, store, datastore, log, metrics, signal },
  clock: () => Date.now(),
  reconcileMs: options.reconcileSeconds * 1000,
});
app.use(await serveHealth({ port: options.healthPort, metrics, health: () => healthOf(controllers) }));

log.info("starting", { etcd: options.etcd, controllers: controllers.map((c) => c.name) });
await retry(() => datastore.ensureInitialized({ clusterType: "k8s" }), {
  signal,
  onError: (error, attempt) => log.warn("datastore not initialized, retrying", { attempt, error }),
}).catch((error: unknown) => {
  if (!signal.aborted) throw error;
});
const given = program.getOptionValueSource("nats") !== "default";
await Promise.all([
  ...controllers.map((c) => c.run()),
  reportStatus(controllers, { servers: given ? options.nats : [], access: options, log, signal }),
]);
log.info("stopped", { reason: String(signal.reason) });
