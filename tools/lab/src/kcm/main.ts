/**
 * kcm: the lab's small controller manager and scheduler. Pods get nodes, Services their endpoints, namespaces their service account and
 * their end. This file only composes.
 */
import { Command, Option } from "commander";
import { type LogLevel, makeLogger, untilSignal } from "@calico/daemon";
import { loadConfig, openKubeClient, RESOURCES } from "@calico/kube-client";
import { makeEndpointsLoop } from "./service/endpoints-loop.ts";
import { makeInformer } from "./service/informer.ts";
import { makeNamespaceLoop } from "./service/namespace-loop.ts";
import { makeScheduler } from "./service/scheduler-loop.ts";

const flags = new Command("kcm")
  .description("the lab's controller manager and scheduler")
  .addOption(new Option("--kubeconfig <file>", "how to reach the API server").env("KUBECONFIG").makeOptionMandatory())
  .addOption(
    new Option("--log-level <level>", "least severe level that is logged").choices(["error", "warn", "info", "debug"]).default("info"),
  )
  .parse()
  .opts<{ kubeconfig: string; logLevel: LogLevel }>();
const log = makeLogger({ component: "kcm", level: flags.logLevel });
const signal = untilSignal("SIGTERM", "SIGINT");

await using app = new AsyncDisposableStack();
const kube = openKubeClient(loadConfig(flags.kubeconfig));
app.defer(() => kube.close());
const ports = { kube, log, signal };
const pods = makeInformer(ports, RESOURCES.pods);
const nodes = makeInformer(ports, RESOURCES.nodes);
const services = makeInformer(ports, RESOURCES.services);
const slices = makeInformer(ports, RESOURCES.endpointSlices);
const endpoints = makeInformer(ports, RESOURCES.endpoints);
const namespaces = makeInformer(ports, RESOURCES.namespaces);
const accounts = makeInformer(ports, RESOURCES.serviceAccounts);
const loops = [
  makeScheduler(ports, { pods, nodes }),
  makeEndpointsLoop(ports, { services, pods, slices, endpoints }),
  makeNamespaceLoop(ports, { namespaces, accounts }),
];

log.info("starting");
await Promise.all([pods, nodes, services, slices, endpoints, namespaces, accounts, ...loops].map((part) => part.run()));
log.info("stopped", { reason: String(signal.reason) });
