import process from "node:process";
import { Listr } from "listr2";
import { exec, type Ran } from "../adapter/exec.ts";
import { planTopology } from "../domain/topology.ts";
import { type Lab, type LabOptions, openLab, root } from "../service/lab.ts";
import { labelChanges } from "./changes.ts";
import { connectivityChecks, type Outcome, routeChecks, runCheck } from "./checks.ts";
import { heading, readRoutes, showOutcomes, showRoutes, table } from "./show.ts";

export interface DemoOptions {
  readonly id: string;
  readonly encap: LabOptions["encap"];
  readonly kubeconfig?: string;
  readonly controllers?: boolean;
  readonly secure?: boolean;
  /** Run everything once, tear down, and tell by the exit code. */
  readonly check: boolean;
  readonly signal: AbortSignal;
  /** No progress on stdout: the caller's data goes there. */
  readonly quiet?: boolean;
}

const MANIFESTS = ["10-services.yaml", "20-pods.yaml", "30-policy.yaml"] as const;
const PODS = ["default/web-1", "default/web-2", "default/db", "default/client-1", "default/client-2", "kube-system/kube-dns"] as const;
const WITHIN_MS = 10_000;
const READY_WITHIN_MS = 120_000;

/** The demonstration, from nothing to the matrix. Resolves to whether every line held. */
export async function runDemo(options: DemoOptions): Promise<boolean> {
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  await using lab = await bringUpDemo(options);
  const outcomes = [...(await showCluster(lab))];

  console.log(heading("Connectivity"));
  const matrix = await inTurn(connectivityChecks(lab));
  console.log(showOutcomes(matrix));
  console.log(`matrix after ${seconds()}`);
  outcomes.push(...matrix);

  console.log(heading("Changes, and the time from their commit to the kernel"));
  outcomes.push(...(await labelChanges(lab)));

  const failed = outcomes.filter(({ ok }) => !ok);
  if (failed.length > 0) await showLogs(lab);
  if (!options.check) {
    console.log(heading("Yours to play with; Ctrl-C ends it and leaves nothing behind"));
    console.log(commandsToTry(lab));
    await new Promise((resolve) => (options.signal.aborted ? resolve(0) : options.signal.addEventListener("abort", resolve)));
  }
  await lab[Symbol.asyncDispose]();
  console.log(`\n${outcomes.length - failed.length} passed, ${failed.length} failed`);
  return failed.length === 0;
}

/** Cables, processes, manifests and pods, with progress. */
export async function bringUpDemo(options: Omit<DemoOptions, "check">): Promise<Lab> {
  let lab: Lab | undefined;
  const topology = planTopology(options.id);
  const need = (): Lab => {
    if (lab === undefined) throw new Error("the cluster did not start");
    return lab;
  };
  const { encap, kubeconfig, controllers, secure = false } = options;
  const tasks = new Listr(
    [
      {
        title: "two nodes: enp0s3 10.0.2.6, .7 and enp0s8 192.168.81.101, .102",
        task: async (_, task) => {
          lab = await openLab({
            topology,
            encap,
            secure,
            ...(kubeconfig === undefined ? {} : { kubeconfig }),
            ...(controllers === undefined ? {} : { controllers }),
            onStep: (step) => (task.output = step),
          });
        },
      },
      { title: "manifests", task: async () => await applyManifests(need()) },
      { title: "pods ready, BGP established", task: async () => await untilReady(need(), options.signal) },
    ],
    { renderer: options.quiet === true ? "silent" : process.stdout.isTTY ? "default" : "simple" },
  );
  try {
    await tasks.run();
    if (options.signal.aborted) throw new Error(`stopped by ${String(options.signal.reason)}`);
    return need();
  } catch (error) {
    await lab?.[Symbol.asyncDispose]();
    throw error;
  }
}

async function applyManifests(lab: Lab): Promise<void> {
  for (const file of MANIFESTS) must(`kubectl apply ${file}`, await lab.kubectl(["apply", "-f", `${root}/demo/${file}`]));
  must("calicoctl apply 40-calico-policy.yaml", await lab.calicoctl(["apply", "-f", `${root}/demo/40-calico-policy.yaml`]));
}

async function untilReady(lab: Lab, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS;
  const ready = `jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}`;
  for (;;) {
    const { stdout } = await lab.kubectl(["get", "pods", "-A", "-o", ready]);
    const missing = PODS.filter((p) => !stdout.split(" ").includes(`${p}=True`));
    const routes = routeChecks(lab, await readRoutes(lab));
    const late = (await Promise.all(routes.map((c) => runCheck(c, 0)))).filter(({ ok }) => !ok);
    if (missing.length === 0 && late.length === 0) return;
    if (signal.aborted) return;
    if (performance.now() > deadline) {
      const what = [...missing.map((p) => `pod ${p}`), ...late.map(({ check }) => `${check.from} ${check.name}`)];
      await showLogs(lab);
      throw new Error(
        `Cannot go on: not ready after ${READY_WITHIN_MS / 1000} s: ${what.join(", ")}; the logs are in ${lab.topology.dir}/log`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** What an operator looks at first: nodes, pods, services, BGP, addresses, routes. */
async function showCluster(lab: Lab): Promise<readonly Outcome[]> {
  const views: readonly [string, readonly string[]][] = [
    ["kubectl get nodes -o wide", ["get", "nodes", "-o", "wide"]],
    ["kubectl get pods -A -o wide", ["get", "pods", "-A", "-o", "wide"]],
    ["kubectl get services -A", ["get", "services", "-A"]],
  ];
  for (const [title, args] of views) console.log(`${heading(title)}\n${said(await lab.kubectl(args))}`);
  const [node1] = lab.topology.nodes;
  const calicoViews: readonly (readonly string[])[] = [
    ["get", "ippools", "-o", "wide"],
    ["node", "status", "--run-dir", node1?.runDir ?? ""],
    ["ipam", "show", "--show-blocks"],
  ];
  for (const args of calicoViews) console.log(`${heading(`calicoctl ${args.slice(0, 3).join(" ")}`)}\n${said(await lab.calicoctl(args))}`);

  console.log(
    heading(
      `Routes (${lab.encap === "none" ? "this kernel has no IPIP, or none was asked for: no encapsulation on the shared segment" : lab.encap})`,
    ),
  );
  const routes = await readRoutes(lab);
  console.log(showRoutes(routes));
  const outcomes = await inTurn(routeChecks(lab, routes), 0);
  console.log(showOutcomes(outcomes));
  return outcomes;
}

async function inTurn(checks: readonly Parameters<typeof runCheck>[0][], withinMs = WITHIN_MS): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const check of checks) outcomes.push(await runCheck(check, withinMs));
  return outcomes;
}

function commandsToTry(lab: Lab): string {
  const { dir, nodes } = lab.topology;
  const node = nodes[0];
  return table(
    ["try", "to see"],
    [
      [
        `export KUBECONFIG=${lab.kubeconfig} ETCD_ENDPOINTS=${lab.endpoints.etcd}${etcdCertificates(lab)}`,
        "(first: the lab's API server and etcd)",
      ],
      ["kubectl get pods -A -o wide", "pods and their addresses"],
      ["kubectl label pod client-1 access=granted", "a change of policy: client-1 may reach db"],
      [
        "npm run -s calicoctl -- get workloadendpoints -A -o wide",
        "endpoints (nodes, ippools, networkpolicies, bgppeers, …; -o yaml|json)",
      ],
      [`npm run -s calicoctl -- node status --run-dir ${node?.runDir}`, "BGP sessions of node1"],
      ["npm run -s calicoctl -- ipam show --show-blocks", "addresses in use"],
      [`ip netns exec ${node?.netns} ip route`, "node1's routes"],
      [`ip netns exec ${node?.netns} iptables-save -t filter`, "node1's policy"],
      ["npm run -s lab -- pod default/client-1 busybox wget -qO- http://web.default.svc.cluster.local", "a command in a pod"],
      ["npm run -s lab -- ps", "processes and their memory; kill -9 one and look again"],
      [`ls ${dir}/log`, "every daemon's log"],
    ],
  );
}

function etcdCertificates({ environment }: Lab): string {
  const etcd = Object.entries(environment).filter(([name]) => name.startsWith("ETCD_"));
  return etcd.map(([name, value]) => ` ${name}=${value}`).join("");
}

async function showLogs(lab: Lab): Promise<void> {
  const { stdout } = await exec(["sh", "-c", `cd ${lab.topology.dir}/log && tail -n 8 *.log`]);
  console.error(`${heading("last lines of the logs")}\n${stdout}`);
}

function must(what: string, ran: Ran): void {
  if (ran.code !== 0) throw new Error(`Cannot ${what}: ${ran.stderr.trim() || ran.stdout.trim()}`);
}

function said(ran: Ran): string {
  return ran.code === 0 ? ran.stdout.trimEnd() : `exit ${ran.code}: ${ran.stderr.trim()}`;
}
