/**
 * bgp: one per node. Nodes, peers, pools and blocks from the bus → peers and routes → BGP sessions and the kernel.
 * This file only composes; start reading at service/daemon.ts (the loop) and service/speaker.ts (what it drives).
 */
import { join } from "node:path";
import { etcdFallback, FEED_METRICS, natsConnection, openFeed, openReporter, withFeed } from "@calico/bus";
import { exitClean, makeLogger, makeMetrics, serveHealth, untilSignal } from "@calico/daemon";
import { openNetlink } from "@calico/linux";
import { systemClock as clock } from "./adapter/clock.ts";
import { bgpCommand } from "./adapter/command.ts";
import type { BgpOptions } from "./adapter/command.ts";
import { netlinkKernel } from "./adapter/kernel.ts";
import { serveStatus } from "./adapter/status-socket.ts";
import { tcpTransport as transport } from "./adapter/tcp.ts";
import { KINDS_FOLLOWED } from "./domain/config/world.ts";
import { METRICS } from "./metrics.ts";
import { runDaemon } from "./service/daemon.ts";
import { makeRecorder } from "./service/recorder.ts";
import { Speaker } from "./service/speaker.ts";

const VERSION = "0.1.0";
const options = bgpCommand().version(VERSION).parse().opts<BgpOptions>();
const { node, nats, runDir, healthPort, logLevel, listenPort, routerId } = options;
const connection = natsConnection(options);
const signal = untilSignal("SIGTERM", "SIGINT");
const log = makeLogger({ component: "bgp", level: logLevel, node });
const metrics = makeMetrics([...METRICS, ...FEED_METRICS]);

await using app = new AsyncDisposableStack();
const kernel = netlinkKernel(app.use(openNetlink()));
const reporter = openReporter({ servers: nats, component: "bgp", node, log, connection });
app.defer(() => reporter.close());
const recorder = makeRecorder({ node, version: VERSION, metrics, reporter, clock, speaker: () => speaker });
const speaker = new Speaker({
  transport,
  kernel,
  clock,
  log,
  onApplied: recorder.applied,
  onChange: recorder.changed,
  counted: recorder.counted,
});
app.defer(() => speaker.close());
const feed = openFeed({
  servers: nats,
  name: `bgp-${node}`,
  kinds: [...KINDS_FOLLOWED],
  signal,
  log,
  connection,
  metrics,
  etcd: etcdFallback(options),
});
app.use(await serveHealth({ port: healthPort, metrics, health: () => withFeed(recorder.health(), feed) }));
app.use(await serveStatus(join(runDir, "bgp.sock"), recorder.answer));

log.info("starting", { nats, runDir });
await runDaemon({ settings: { node, routerId, listenPort }, feed, speaker, recorder, log, signal });
log.info("stopped; the routes stay", { reason: String(signal.reason ?? "the feed ended") });
await exitClean(app);
