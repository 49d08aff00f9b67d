/** ipam: one per node. Answers address requests on a unix socket and keeps the node's tunnel addresses. */
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { daemonCommand, exitClean, listenUnix, makeLogger, makeMetrics, readLines, serveHealth, untilSignal } from "@calico/daemon";
import type { DaemonOptions } from "@calico/daemon";
import { etcdAccess } from "@calico/datastore";
import { prefixOf } from "@calico/model";
import { openTarget, targetOf } from "./adapter/open-store.ts";
import { targetKey } from "./domain/protocol.ts";
import type { EtcdTarget } from "./domain/protocol.ts";
import { METRICS } from "./metrics.ts";
import { keepCountingBroken, keepTunnelAddresses, makeWakeup } from "./service/daemon.ts";
import { factPrefixes } from "./service/facts.ts";
import { makeIpam } from "./service/ipam.ts";
import { openMirror } from "./service/mirror.ts";
import type { BrokenRecord } from "./service/memory.ts";
import { answerLine, makeTargetCache } from "./service/serve.ts";

const command = daemonCommand("ipam", "Assigns pod and tunnel addresses of one node; asked over RUN_DIR/ipam.sock", { healthPort: 9102 });
const podCidr = command
  .createOption("--use-pod-cidr [true|false]", "tunnel addresses are the first of the node's pod CIDRs")
  .preset("true");
const options = command
  .addOption(podCidr.env("USE_POD_CIDR").default("false").choices(["true", "false"]))
  .parse(process.argv)
  .opts<DaemonOptions & { usePodCidr: string }>();
const signal = untilSignal("SIGTERM", "SIGINT");
const log = makeLogger({ component: "ipam", level: options.logLevel, node: options.node });
const metrics = makeMetrics(METRICS);
const wakeup = makeWakeup();
const home: EtcdTarget = targetOf(options);
const { auth } = etcdAccess(options);
const tunnelFacts = [prefixOf("IPPool"), prefixOf("Node"), prefixOf("FelixConfiguration")];

await using app = new AsyncDisposableStack();
const opened = makeTargetCache({
  open(target) {
    const store = openTarget(target, auth && { auth });
    const ended = new AbortController();
    const onChange = (prefix: string) => void (tunnelFacts.some((p) => prefix.startsWith(p)) && wakeup.raise());
    const mirror = openMirror(store, {
      prefixes: factPrefixes(options.node),
      signal: AbortSignal.any([signal, ended.signal]),
      log,
      onChange,
    });
    log.info("datastore opened", { endpoints: target.endpoints });
    const close = async () => (ended.abort(), await store.close());
    app.defer(close);
    const onGroup = (calls: number) => metrics.observe("ipam_calls_per_transaction", calls);
    const usePodCidr = options.usePodCidr === "true";
    const writer = { get: store.get, list: store.list, txn: mirror.txn };
    const onBroken = (record: BrokenRecord) => log.warn("record does not parse", { ...record });
    return { ipam: makeIpam({ store: writer, reader: mirror, onGroup, onBroken, usePodCidr }), mirror, close };
  },
  close: ({ close }) => void close(),
});
const own = opened(home);
const health = () => ({
  live: true,
  ready: own.mirror.inSync(),
  detail: { inSync: own.mirror.inSync(), etcd: home.endpoints, brokenRecords: own.ipam.broken.list() },
});
app.use(await serveHealth({ port: options.healthPort, metrics, health }));

const answering = {
  ipamOf: (target: EtcdTarget) => (targetKey(target) === targetKey(home) ? own : opened(target)).ipam,
  defaultTarget: home,
  now: () => performance.now(),
  onServed({ op, seconds, outcome }: { op: string; seconds: number; outcome: string }) {
    metrics.inc("ipam_requests_total", { op, outcome });
    metrics.observe("ipam_request_seconds", seconds, { op });
  },
};
const socketPath = join(options.runDir, "ipam.sock");
app.use(
  await listenUnix(socketPath, (socket) => {
    socket.on("error", (e) => log.debug("client went away", { reason: e.message }));
    readLines(socket, (line) => void answerLine(line, answering).then((answer) => socket.writable && socket.write(answer)));
  }),
);
log.info("started", { node: options.node, socket: socketPath, etcd: options.etcd });
void keepCountingBroken({ broken: own.ipam.broken, signal, log, metrics });
await keepTunnelAddresses({ ipam: own.ipam, node: options.node, wakeup, signal, log, metrics });
log.info("stopped", { reason: String(signal.reason) });
await exitClean(app);
