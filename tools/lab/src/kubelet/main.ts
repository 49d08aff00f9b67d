/**
 * The lab's kubelet: one node's pods, as processes in network namespaces, wired by CNI plugins through the real exec protocol.
 * Runs in the node's namespace; plugins and probes inherit it.
 */
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { loadKubeconfig, openKubeClient } from "@calico/kube-client";
import { makeLogger, untilSignal } from "@calico/daemon";
import { Command } from "commander";
import { makeCniRuntime } from "./cni.ts";
import { runKubelet } from "./kubelet.ts";
import { openRecords } from "./records.ts";

const o = new Command("kubelet")
  .description("the lab's kubelet: runs each pod bound to its node, by CNI")
  .requiredOption("--node <name>")
  .requiredOption("--node-ip <ip>", "the node's InternalIP")
  .requiredOption("--lab <id>", "prefix of the pods' namespaces")
  .requiredOption("--run-dir <folder>")
  .requiredOption("--kubeconfig <file>")
  .requiredOption("--cni-conf <file>", "the network's conflist")
  .option(
    "--cni-path <folders>",
    "where plugins are, separated by colons",
    `${new URL("../../../../dist/cni", import.meta.url).pathname}:/usr/lib/cni`,
  )
  .requiredOption("--dns <ip>", "the cluster's DNS service")
  .parse()
  .opts<Record<"node" | "nodeIp" | "lab" | "runDir" | "kubeconfig" | "cniConf" | "cniPath" | "dns", string>>();

const log = makeLogger({ component: "kubelet", node: o.node });
const signal = untilSignal("SIGTERM", "SIGINT");
const resolvConf = `${o.runDir}/resolv.conf`;
writeFileSync(
  resolvConf,
  `nameserver ${o.dns}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions timeout:1 attempts:3\n`,
);

const socket = `${o.runDir}/kubelet.sock`;
rmSync(socket, { force: true });
createServer((client) => client.end()).listen(socket, () => chmodSync(socket, 0o600));

await runKubelet(
  {
    api: openKubeClient(loadKubeconfig(o.kubeconfig)),
    cni: makeCniRuntime({ confFile: o.cniConf, path: o.cniPath.split(":") }),
    records: openRecords(`${o.runDir}/pods`),
    log,
    node: o.node,
    nodeIp: o.nodeIp,
    lab: o.lab,
    resolvConf,
  },
  signal,
);
