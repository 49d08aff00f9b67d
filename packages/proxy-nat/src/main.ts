/**
 * proxy-nat: one per node. Services and endpoint slices from the bus → chains → iptables.
 * This file only composes; start reading at service/proxy.ts (the loop) and domain/core.ts (the decisions).
 */
import { etcdFallback, FEED_METRICS, natsConnection, openFeed, openReporter, withFeed } from "@calico/bus";
import { exitClean, makeLogger, makeMetrics, serveHealth, untilSignal } from "@calico/daemon";
import { openIptables } from "@calico/linux";
import { systemClock as clock } from "./adapter/clock.ts";
import { proxyNatCommand, type ProxyNatOptions } from "./adapter/command.ts";
import { kernelConntrack } from "./adapter/conntrack.ts";
import { makeNatCore, NAT_KINDS } from "./domain/core.ts";
import { METRICS } from "./metrics.ts";
import { makeApplier } from "./service/applier.ts";
import { makePasses } from "./service/pass.ts";
import { makeProxy } from "./service/proxy.ts";
import { makeRecorder } from "./service/recorder.ts";

const VERSION = "0.1.0";
const o = proxyNatCommand().version(VERSION).parse().opts<ProxyNatOptions>();
const connection = natsConnection(o);
const signal = untilSignal("SIGTERM", "SIGINT");
const log = makeLogger({ component: "proxy-nat", level: o.logLevel, node: o.node });
const metrics = makeMetrics([...METRICS, ...FEED_METRICS]);

await using app = new AsyncDisposableStack();
const core = makeNatCore({ node: o.node, clusterCidrs: o.clusterCidr, families: o.ipFamilies });
const applier = makeApplier(o.ipFamilies.map((family) => openIptables({ backend: o.iptablesBackend, family })));
const passes = makePasses({ core, applier, conntrack: kernelConntrack(), clock }, { resyncMs: o.resyncSeconds * 1000 });
const reporter = openReporter({ servers: o.nats, component: "proxy-nat", node: o.node, log, connection });
app.defer(() => reporter.close());
const recorder = makeRecorder({ core, reporter, metrics, clock, log }, { version: VERSION });
const feed = openFeed({
  servers: o.nats,
  name: `proxy-nat-${o.node}`,
  kinds: NAT_KINDS,
  signal,
  log,
  connection,
  metrics,
  etcd: etcdFallback(o),
});
const proxy = makeProxy({ feed, core, passes, recorder, clock });
app.use(
  await serveHealth({
    port: o.healthPort,
    metrics,
    health: () => {
      const { inSync, failure, revision } = proxy.state();
      return withFeed({ live: true, ready: inSync && failure === undefined, detail: { inSync, revision, failure } }, feed);
    },
  }),
);

log.info("starting", { backend: o.iptablesBackend, families: o.ipFamilies, nats: o.nats });
await proxy.run(signal);
log.info("stopped; the rules stay", { reason: String(signal.reason ?? "the feed ended") });
await exitClean(app);
