/** The CNI agent: one per node, root only. The `calico` executable hands it every call over RUN_DIR/cni.sock. */
import { hostname } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { escapeToken, natsConnection, openReporter } from "@calico/bus";
import { daemonCommand, exitClean, listenUnix, makeLogger, makeMetrics, numberOption, serveHealth, untilSignal } from "@calico/daemon";
import type { DaemonOptions } from "@calico/daemon";
import { etcdAccess } from "@calico/datastore";
import { targetOf } from "@calico/ipam";
import { openWorld } from "./adapter/compose.ts";
import { serveConnection } from "./adapter/serve-socket.ts";
import { METRICS } from "./metrics.ts";
import { makeAgent } from "./service/agent.ts";
import { keepSettling } from "./service/keep-settling.ts";
import { eventOf } from "./service/report.ts";
import type { Ended } from "./service/run.ts";
import type { Settled } from "./service/settle-deletes.ts";
import { makeTokenWatch } from "./service/token-watch.ts";

type Options = DaemonOptions & { readonly policyWaitMs: number };
const options = daemonCommand("cni", "Wires pods of one node; asked by the calico executable over RUN_DIR/cni.sock", {
  healthPort: 9103,
  kubeconfig: true,
})
  .addOption(
    numberOption("--policy-wait-ms <ms>", "how long ADD waits for felix to report the pod's policy; 0: not at all", {
      ...{ env: "CALICO_POLICY_WAIT_MS", default: 10_000 },
    }),
  )
  .parse(process.argv)
  .opts<Options>();
const signal = untilSignal("SIGTERM", "SIGINT");
const log = makeLogger({ component: "cni", level: options.logLevel, node: options.node });
const metrics = makeMetrics(METRICS);

await using app = new AsyncDisposableStack();
const { auth } = etcdAccess(options);
const { runDir, kubeconfig } = options;
const world = app.use(openWorld({ runDir, defaultEtcd: targetOf(options), agentKubeconfig: kubeconfig, ...(auth && { etcdAuth: auth }) }));
const reporter = openReporter({ servers: options.nats, component: "cni", node: options.node, log, connection: natsConnection(options) });
app.defer(() => reporter.close());
let running = 0;

function onEnd(ended: Ended): void {
  const { command = "unknown", fault, durationMs, stepsMs } = ended;
  metrics.inc("cni_calls_total", { command, code: String(fault?.code ?? 0) });
  metrics.observe("cni_call_seconds", durationMs / 1000, { command });
  for (const [step, ms] of Object.entries(stepsMs)) metrics.observe("cni_step_seconds", ms / 1000, { command, step });
  const event = eventOf(ended, { node: options.node, at: new Date() });
  if (event !== undefined) reporter.event(`cni.${escapeToken(options.node)}.${command.toLowerCase()}`, event);
}

const settings = {
  varDir: options.varDir,
  runDir: options.runDir,
  node: options.node,
  policyWaitMs: options.policyWaitMs,
  hostname: hostname(),
};
const agent = makeAgent(world, { settings, log, onEnd, afterAnswer: setImmediate });
const path = join(options.runDir, "cni.sock");
const lookAtToken = makeTokenWatch({ expiry: world.tokenExpiry, nowMs: Date.now, metrics, log });
const health = () => {
  const { ok, detail: kubeToken } = lookAtToken();
  return { live: true, ready: ok, detail: { running, socket: path, ...(kubeToken && { kubeToken }) } };
};
app.use(await serveHealth({ port: options.healthPort, metrics, health }));
app.use(
  await listenUnix(path, (socket) => {
    metrics.set("cni_calls_running", ++running);
    socket.once("close", () => metrics.set("cni_calls_running", --running));
    serveConnection(socket, agent.answer, (why) => {
      metrics.inc("cni_bad_requests_total");
      log.warn("bad request on the socket", { why });
    });
  }),
);
log.info("started", { node: options.node, socket: path, etcd: options.etcd, policyWaitMs: settings.policyWaitMs });
function onRound({ left }: Settled): void {
  metrics.set("cni_deletes_waiting", left);
  lookAtToken();
}
await keepSettling(agent, { signal, onRound });
log.info("stopped", { reason: String(signal.reason) });
await exitClean(app);
