import { mkdirSync, writeFileSync } from "node:fs";
import process from "node:process";
import { loadKubeconfig } from "@calico/kube-client";

import { type ExecOptions, exec, mustExec, type Ran } from "../adapter/exec.ts";
import { buildFabric, kernelHas } from "../adapter/fabric.ts";
import { makePki, writeKubeconfig } from "../adapter/pki.ts";
import { enableEtcdRoles, makeSecrets } from "../adapter/secrets.ts";
import { renderConflist } from "../domain/cni-conf.ts";
import { renderOutsideWeb } from "../domain/outside.ts";
import {
  apiProcesses,
  controlProcesses,
  NATS_CONF,
  natsConfFile,
  nodeProcesses,
  type ProcessSpec,
  storeProcesses,
} from "../domain/processes.ts";
import { environmentOf, etcdFiles, principals, secured } from "../domain/secure.ts";
import { NETWORK, PORTS, type Topology } from "../domain/topology.ts";
import { type PodRecord, podRecords } from "../kubelet/records.ts";
import { startTicks } from "../kubelet/process.ts";
import { openRelay } from "../relay/relay.ts";
import { makeSupervisor, type Running } from "./supervisor.ts";
import { armTeardown, clearLeftovers } from "./teardown.ts";

export type Encap = "ipip" | "vxlan" | "none";

export interface LabOptions {
  readonly topology: Topology;
  /** `auto` is IPIP where the kernel has it, as the seed; no encapsulation otherwise. */
  readonly encap: Encap | "auto";
  /** An API server that exists; undefined: the lab's own. */
  readonly kubeconfig?: string;
  /** Whether the lab's scheduler and EndpointSlice controller run; by default with the lab's own API server. */
  readonly controllers?: boolean;
  /** TLS and logins for etcd and NATS, each daemon with its own credentials. */
  readonly secure?: boolean;
  readonly onStep?: (step: string) => void;
}

export interface Lab extends AsyncDisposable {
  readonly topology: Topology;
  readonly encap: Encap;
  /** For kubectl on this machine: the API server by way of a relay on loopback. */
  readonly kubeconfig: string;
  readonly endpoints: { readonly etcd: string; readonly nats: string };
  /** How this machine's tools are let in by etcd and NATS; empty unless the lab is secure. */
  readonly environment: Readonly<Record<string, string>>;
  running(): readonly Running[];
  kubectl(args: readonly string[], input?: string): Promise<Ran>;
  calicoctl(args: readonly string[], options?: ExecOptions): Promise<Ran>;
  /** A pod of this lab by `namespace/name`, undefined while it has no network. */
  pod(key: string): PodRecord | undefined;
  /** A command in a pod: its network, its DNS configuration. */
  podExec(key: string, argv: readonly string[], timeoutMs?: number): Promise<Ran>;
}

export const root: string = new URL("../../../..", import.meta.url).pathname.replace(/\/$/, "");

/** Bring a cluster up, from the cables to the daemons of each node. What is made is torn down when this throws, is disposed of, or is killed. */
export async function openLab(options: LabOptions): Promise<Lab> {
  const t = options.topology;
  const step = options.onStep ?? (() => undefined);
  await clearLeftovers(t);
  makeFolders(t);
  const teardown = armTeardown(t);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => teardown.run());

  step("networks and namespaces");
  await buildFabric(t);
  const encap = await chooseEncap(t, options.encap);

  const supervisor = makeSupervisor({ root, logDir: `${t.dir}/log`, onChange: (running) => saveState(t, running) });
  stack.defer(() => supervisor.stop());

  step("etcd and NATS");
  await makePki(t, [
    "127.0.0.1",
    t.control.bgpIp,
    NETWORK.apiServiceIp,
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
  ]);
  writeFileSync(`${t.dir}/outside.conf`, renderOutsideWeb(t));
  writeFileSync(natsConfFile(t), NATS_CONF);
  if (options.secure) await makeSecrets(t);
  const specs = (list: readonly ProcessSpec[]) => (options.secure ? secured(t, list) : list);
  const tooling = principals(t).find(({ user }) => user === "tools");
  const environment = options.secure && tooling !== undefined ? environmentOf(t, tooling) : {};
  const scheme = options.secure ? "https" : "http";
  await supervisor.start(specs(storeProcesses(t)));
  if (options.secure) await enableEtcdRoles(t);

  step("Kubernetes API, controllers, syncer");
  const external = options.kubeconfig === undefined ? undefined : await joinExternalApi(t, options.kubeconfig, stack);
  if (external === undefined) {
    writeKubeconfig(t, `${t.dir}/kubeconfig.lab`, `https://${t.control.bgpIp}:${PORTS.api}`);
    await supervisor.start(specs(apiProcesses(t)));
  }
  const control = controlProcesses(t, { ownApi: external === undefined, ownControllers: options.controllers ?? external === undefined });
  await Promise.all([
    supervisor.start(specs(control)),
    initNodes(t, encap, { ...environment, ETCD_ENDPOINTS: `${scheme}://${t.control.bgpIp}:${PORTS.etcd}` }),
  ]);
  const relay = async (name: string) =>
    stack.use(await openRelay({ listen: { host: "127.0.0.1", port: 0 }, to: { path: `${t.dir}/sock/${name}` } })).port;
  const endpoints = { etcd: `${scheme}://127.0.0.1:${await relay("etcd")}`, nats: `nats://127.0.0.1:${await relay("nats")}` };
  if (external === undefined) writeKubeconfig(t, `${t.dir}/kubeconfig`, `https://127.0.0.1:${await relay("api")}`);
  const kubeconfig = external ?? `${t.dir}/kubeconfig`;
  const tools = makeTools(t, { kubeconfig, env: { ...environment, ETCD_ENDPOINTS: endpoints.etcd } });
  await publishEtcdService(t, tools);

  step("each node: felix, bgp, proxy-nat, ipam, CNI agent, kubelet");
  for (const node of t.nodes) {
    const conf = renderConflist(apiToken(t), options.secure ? etcdFiles(t, node.name) : undefined);
    writeFileSync(`${node.cniConfDir}/10-calico.conflist`, conf, { mode: 0o600 });
  }
  await supervisor.start(specs(t.nodes.flatMap((node) => nodeProcesses(t, node))));

  const held = stack.move();
  return {
    topology: t,
    encap,
    endpoints,
    kubeconfig,
    environment,
    running: () => supervisor.running(),
    ...tools,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function makeFolders(t: Topology): void {
  mkdirSync(t.dir, { recursive: true, mode: 0o700 });
  writeFileSync(`${t.dir}/owner.json`, JSON.stringify({ pid: process.pid, startTicks: startTicks(process.pid) }));
  const node = t.nodes.flatMap((n) => [n.runDir, n.varDir, n.cniConfDir]);
  for (const dir of [`${t.dir}/sock`, `${t.dir}/ctl`, `${t.dir}/pki`, ...node]) mkdirSync(dir, { recursive: true, mode: 0o700 });
}

function saveState(t: Topology, running: readonly Running[]): void {
  writeFileSync(`${t.dir}/processes.json`, JSON.stringify(running, null, 1));
}

async function chooseEncap(t: Topology, wanted: Encap | "auto"): Promise<Encap> {
  if (wanted === "auto") return (await kernelHas(t, "ipip")) ? "ipip" : "none";
  if (wanted !== "none" && !(await kernelHas(t, wanted)))
    throw new Error(`Cannot use ${wanted}: this kernel cannot make such a device; use --encap none, or boot a kernel that has it`);
  return wanted;
}

/** Calico's node start-up for each node: the Node resource with its BGP address, and the pool with the first. */
async function initNodes(t: Topology, encap: Encap, env: Readonly<Record<string, string>>): Promise<void> {
  const mode = { ipip: ["--ipip", "Always"], vxlan: ["--vxlan", "Always"], none: [] }[encap];
  const pool = ["--pool", NETWORK.podPool, "--block-size", String(NETWORK.blockSize), "--nat-outgoing", ...mode];
  for (const node of t.nodes) {
    const self = ["--name", node.name, "--ip", `${node.bgpIp}/${NETWORK.bgp.prefixLen}`, "--var-dir", node.varDir];
    await mustExec([`${root}/setup/run.sh`, "tools/calicoctl/src/main.ts", "node", "init", ...self, ...pool], {
      netns: t.controlNetns,
      env,
      // On a slow machine a program that starts beside a dozen others may miss its deadline towards etcd. Again changes nothing.
      tries: 5,
    });
  }
}

/** The seed reaches etcd at a ClusterIP: a Service without selector, with the store's address as its endpoint. */
async function publishEtcdService(t: Topology, tools: Pick<Lab, "kubectl">): Promise<void> {
  const meta = { name: "calico-etcd", namespace: "kube-system" };
  const port = { name: "etcd", port: PORTS.etcdService, protocol: "TCP" };
  const service = { apiVersion: "v1", kind: "Service", metadata: meta, spec: { clusterIP: NETWORK.etcdServiceIp, ports: [port] } };
  const slice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { ...meta, labels: { "kubernetes.io/service-name": "calico-etcd" } },
    addressType: "IPv4",
    endpoints: [{ addresses: [t.control.bgpIp], conditions: { ready: true } }],
    ports: [port],
  };
  const list = { apiVersion: "v1", kind: "List", items: [service, slice] };
  const ran = await tools.kubectl(["apply", "-f", "-"], JSON.stringify(list));
  if (ran.code !== 0) throw new Error(`Cannot publish etcd as a Service: ${ran.stderr.trim()}`);
}

function apiToken(t: Topology): string {
  return loadKubeconfig(`${t.dir}/kubeconfig.lab`).token?.() ?? "";
}

/**
 * Give the lab a way to an API server outside: the control namespace listens where the lab's own would, and passes on to here.
 * TLS goes from end to end; the server's own name is what certificates are checked against.
 */
async function joinExternalApi(t: Topology, file: string, stack: AsyncDisposableStack): Promise<string> {
  const config = loadKubeconfig(file);
  const url = new URL(config.server);
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  stack.use(await openRelay({ listen: { path: `${t.dir}/sock/external-api` }, to: { host: url.hostname, port } }));
  const set = ["config", "--kubeconfig", `${t.dir}/kubeconfig.lab`];
  writeFileSync(
    `${t.dir}/kubeconfig.lab`,
    await mustExec(["kubectl", "--kubeconfig", file, "config", "view", "--raw", "--minify", "--flatten", "-o", "json"]),
    { mode: 0o600 },
  );
  const cluster = (await mustExec(["kubectl", ...set, "view", "-o", "jsonpath={.clusters[0].name}"])).trim();
  const serverName = url.protocol === "https:" ? [`--tls-server-name=${url.hostname}`] : [];
  await mustExec(["kubectl", ...set, "set-cluster", cluster, `--server=${url.protocol}//${t.control.bgpIp}:${PORTS.api}`, ...serverName]);
  return file;
}

function makeTools(
  t: Topology,
  at: { readonly kubeconfig: string; readonly env: Readonly<Record<string, string>> },
): Pick<Lab, "kubectl" | "calicoctl" | "pod" | "podExec"> {
  const pod = (key: string): PodRecord | undefined =>
    t.nodes.flatMap((n) => podRecords(`${n.runDir}/pods`)).find((r) => `${r.namespace}/${r.name}` === key && r.result !== undefined);
  return {
    pod,
    kubectl: (args, input) => exec(["kubectl", "--kubeconfig", at.kubeconfig, ...args], input === undefined ? {} : { input }),
    calicoctl: (args, o = {}) =>
      exec([`${root}/setup/run.sh`, "tools/calicoctl/src/main.ts", ...args], { ...o, env: { ...at.env, ...o.env } }),
    async podExec(key, argv, timeoutMs = 15_000) {
      const pid = pod(key)?.processes[0]?.pid;
      if (pid === undefined) return { code: 126, stdout: "", stderr: `pod ${key} has no process`, ms: 0 };
      return await exec(["nsenter", "--target", String(pid), "--net", "--mount", "--", ...argv], { timeoutMs });
    },
  };
}
