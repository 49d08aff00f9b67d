/** felix: one per node. Bus → calculation graph → desired state → kernel. This file only composes; the loop is service/felix.ts. */
import { etcdFallback, FEED_METRICS, natsConnection, openFeed, openReporter, withFeed } from "@calico/bus";
import { exitClean, makeLogger, makeMetrics, serveHealth, untilSignal } from "@calico/daemon";
import { parseFlags } from "./adapter/flags.ts";
import { kernelFamilies, openKernel } from "./adapter/kernel.ts";
import { openMtuFile, openStatusFiles } from "./adapter/status-files.ts";
import { vxlanMac } from "./adapter/vxlan-mac.ts";
import { Graph } from "./domain/graph.ts";
import { FELIX_KINDS } from "./domain/kinds.ts";
import { METRICS } from "./metrics.ts";
import { Dataplane } from "./service/dataplane.ts";
import { Felix } from "./service/felix.ts";

const VERSION = "0.1.0";
const flags = parseFlags();
const { node, nats: servers } = flags;
const connection = natsConnection(flags);
const signal = untilSignal("SIGTERM", "SIGINT");
const log = makeLogger({ component: "felix", level: flags.logLevel, node });
const metrics = makeMetrics([...METRICS, ...FEED_METRICS]);
const families = kernelFamilies();

await using app = new AsyncDisposableStack();
const kernel = openKernel({ backend: flags.iptablesBackend, families });
app.defer(() => kernel.netlink.close());
const reports = openReporter({ servers, component: "felix", node, log, connection });
app.defer(() => reports.close());
const feed = openFeed({ servers, name: `felix/${node}`, kinds: FELIX_KINDS, signal, log, connection, metrics, etcd: etcdFallback(flags) });

const felix = new Felix(
  {
    links: kernel.netlink.changes(signal, { of: ["links"] }),
    feed,
    graph: new Graph({ node, families, macOf: vxlanMac }),
    dataplane: new Dataplane(kernel, openStatusFiles(flags.endpointStatusDir), openMtuFile(`${flags.varDir}/mtu`)),
    reports,
    metrics,
    log,
    nowMs: () => performance.now(),
  },
  { signal, version: VERSION, refreshMs: flags.refresh * 1000 },
);
app.use(await serveHealth({ port: flags.healthPort, metrics, health: () => withFeed(felix.health(), feed) }));

log.info("starting", { families, statusDir: flags.endpointStatusDir });
await felix.run();
log.info("stopped", { reason: String(signal.reason) });
await exitClean(app);
