/**
 * kube-controllers: one per cluster. The Kubernetes API → Calico's datastore.
 * This file only composes; the table of controllers is in controllers.ts.
 */
import {
  daemonCommand,
  type DaemonOptions,
  endSoon,
  exitClean,
  makeLogger,
  makeMetrics,
  numberOption,
  retry,
  serveHealth,
  untilSignal,
} from "@calico/daemon";
import { etcdAccess, openEtcd, resourceClient } from "@calico/datastore";
import { openKubeClient } from "@calico/kube-client";
import { makeIpam } from "@calico/ipam";
import { openApiConfig } from "./adapter/api-config.ts";
import { loadBalancerHandle } from "./adapter/load-balancer-handle.ts";
import { makeControllers } from "./controllers.ts";
import { enabledControllers, type IsEnabled } from "./domain/enabled-controllers.ts";
import { IPAM_GC_METRICS } from "./domain/ipam-gc-gauges.ts";
import { METRICS } from "./metrics.ts";
import { DEFAULT_GRACE_MS, MACHINE_GRACE_MS, overdueMsOf } from "./domain/ipam-gc-ledger.ts";
import { makeIpamGc } from "./service/ipam-gc.ts";
import { makeIpamAudit } from "./service/ipam-audit.ts";
import { openEvents } from "./service/ipam-gc-events.ts";
import { makeLoadBalancer } from "./service/load-balancer.ts";
import { makeWitness } from "./service/kube-witness.ts";
import { healthOf, reportStatus } from "./service/report.ts";

const command = daemonCommand("kube-controllers", "mirrors the Kubernetes API into Calico's datastore", {
  healthPort: 9094,
  kubeconfig: true,
})
  .addOption(numberOption("--reconcile-seconds <n>", "time between full comparisons", { env: "RECONCILE_SECONDS", default: 300, least: 1 }))
  .addOption(
    numberOption(
      "--ipam-gc-grace-seconds <n>",
      "how long an address may be without an owner; 0: only those of nodes that are gone are released",
      {
        ...{ env: "IPAM_GC_GRACE_SECONDS", default: DEFAULT_GRACE_MS / 1000 },
      },
    ),
  )
  .addOption(
    numberOption("--ipam-gc-machine-grace-seconds <n>", "the least grace for an address of a virtual machine that is gone", {
      ...{ env: "IPAM_GC_MACHINE_GRACE_SECONDS", default: MACHINE_GRACE_MS / 1000 },
    }),
  )
  .option("--adopt-kubernetes <uid>", "follow this cluster (the uid of its namespace kube-system) in place of the one that is recorded")
  .option("--ipam-gc-dry-run", "log which addresses would be released, and why, and release none", false);
const enabling = command.createOption("--enabled-controllers <names>", "controllers that run, by Calico's names, comma separated");
const program = command.addOption(enabling.env("ENABLED_CONTROLLERS").default("", "all")).parse();
const options = program.opts<
  DaemonOptions & {
    reconcileSeconds: number;
    ipamGcGraceSeconds: number;
    ipamGcMachineGraceSeconds: number;
    ipamGcDryRun: boolean;
    adoptKubernetes?: string;
    enabledControllers: string;
  }
>();
const enabled = enabledControllers(options.enabledControllers);
const isEnabled: IsEnabled = enabled.ok ? enabled.value : program.error(enabled.error);
const log = makeLogger({ component: "kube-controllers", level: options.logLevel });
const signal = untilSignal("SIGTERM", "SIGINT");
const metrics = makeMetrics([...METRICS, ...IPAM_GC_METRICS]);

await using app = new AsyncDisposableStack();
const kube = openKubeClient(await openApiConfig(options.kubeconfig, signal));
app.defer(() => kube.close());
const store = openEtcd({ endpoints: options.etcd, ...etcdAccess(options), log });
app.defer(() => store.close());
const datastore = resourceClient(store);
const given = program.getOptionValueSource("nats") !== "default";
const events = await openEvents({ servers: given ? options.nats : [], access: options, log });
app.defer(() => events.close());
const witness = makeWitness({ kube, datastore, log, metrics }, { adopt: options.adoptKubernetes });
const ports = { ...{ kube: witness.kube, store, datastore, log, metrics, signal }, clock: () => Date.now() };
const reconcileMs = options.reconcileSeconds * 1000;
const ipam = makeIpam({ store });
const graceMs = options.ipamGcGraceSeconds * 1000;
const machineGraceMs = options.ipamGcMachineGraceSeconds * 1000;
const controllers = [
  witness,
  ...makeControllers({ ...ports, reconcileMs }),
  makeIpamAudit(ports, { overdueMs: Math.max(overdueMsOf(graceMs), overdueMsOf(machineGraceMs)) }),
  makeIpamGc({ ...ports, ipam, event: events.event }, { graceMs, machineGraceMs, dryRun: options.ipamGcDryRun }),
  makeLoadBalancer({
    ...{ ...ports, ipam, reconcileMs, handleOf: loadBalancerHandle },
    kube: { ...witness.kube, patch: kube.patch, create: kube.create },
  }),
].filter(({ name }) => isEnabled(name));
app.use(await serveHealth({ port: options.healthPort, metrics, health: () => healthOf(controllers) }));

log.info("starting", { etcd: options.etcd, controllers: controllers.map((c) => c.name) });
async function work(): Promise<void> {
  await retry(() => datastore.ensureInitialized({ clusterType: "k8s" }), {
    signal,
    onError: (error, attempt) => log.warn("datastore not initialized, retrying", { attempt, error }),
  }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  await Promise.all([
    ...controllers.map((c) => c.run()),
    reportStatus(controllers, { servers: given ? options.nats : [], access: options, log, signal }),
  ]);
}

await endSoon(work(), signal);
log.info("stopped", { reason: String(signal.reason) });
await exitClean(app);
