/** One node for tests: a network namespace with an etcd, the IPAM service and the CNI agent in it, and pods to wire. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { killChild, untilReady } from "@calico/datastore/testing";
import { createNetns, deleteNetns, listNetns, netnsPath, run, runOrThrow, withNetns } from "@calico/linux";

export const ROOT = new URL("../../../..", import.meta.url).pathname;
const RUN = join(ROOT, "setup/run.sh");
const ETCD = "http://127.0.0.1:23790";
const NATS_PORT = "42220";
const FELIX_HEALTH_PORT = "9099";

export type Call = {
  readonly command?: string;
  readonly container?: string;
  readonly pod?: string;
  readonly netns?: string;
  /** Overrides of the configuration; a string is standard input as it is. */
  readonly conf?: string | Readonly<Record<string, unknown>>;
  /** Variables to change; undefined removes one. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly plugin?: "calico" | "calico-ipam";
};

export type Outcome = {
  readonly exit: number | undefined;
  readonly stdout: string;
  readonly json: Record<string, unknown> | undefined;
  readonly ms: number;
};

export interface TestNode extends AsyncDisposable {
  readonly ns: string;
  readonly dir: string;
  readonly etcdUrl: string;
  cni(call: Call): Promise<Outcome>;
  podNetns(name: string): Promise<string>;
  dropPodNetns(name: string): Promise<void>;
  ip(netns: string, ...args: string[]): Promise<string>;
  inNode(...command: string[]): Promise<{ readonly code: number | undefined; readonly stdout: string; readonly stderr: string }>;
  /** Start another daemon in the node's namespace; it is up when the probe succeeds. */
  launch(name: string, command: readonly string[], probe: readonly string[]): Promise<void>;
  keys(prefix: string): Promise<readonly string[]>;
  /** Another pool. */
  pool(name: string, spec: { readonly cidr: string; readonly blockSize: number }): Promise<void>;
  /** Run a plugin of another make, from /usr/lib/cni. */
  plugin(name: string, call: Call): Promise<Outcome>;
  start(what: "ipam" | "cni", ...args: string[]): Promise<void>;
  /** What puts policies in the kernel: nats-server, syncer and felix, until felix is ready. CNI calls wait for it from then on, if they are told to. */
  startPolicy(): Promise<void>;
  stop(what: "ipam" | "cni"): Promise<void>;
  /** End it by SIGKILL. */
  kill(what: "ipam" | "cni"): Promise<void>;
  /** Run a command of the repository with a call's environment and standard input. */
  program(command: readonly [string, ...string[]], call: Call): Promise<Outcome>;
  etcd(state: "up" | "down"): Promise<void>;
  rssMb(what: "ipam" | "cni"): Promise<number>;
  log(what: string): string;
}

export async function startNode(): Promise<TestNode> {
  const ns = `cni-${process.pid}-${Math.random().toString(36).slice(2, 6)}`;
  const stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "calico-cni-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await createNetns(ns);
  stack.defer(async () => {
    for (const name of listNetns().filter((n) => n.startsWith(ns))) await deleteNetns(name);
  });
  await runOrThrow(["ip", "-n", ns, "link", "set", "lo", "up"], {});
  // A default route makes proxy ARP answer for the pods' gateway; nothing needs to be behind it.
  for (const command of ["link add br0 type bridge", "addr add 10.0.2.6/24 dev br0", "link set br0 up", "route add default via 10.0.2.1"]) {
    await runOrThrow(["ip", "-n", ns, ...command.split(" ")], {});
  }
  await runOrThrow(["sysctl", "-q", "net.ipv4.ip_forward=1"], { netnsPath: netnsPath(ns) });
  await runOrThrow(["bash", join(ROOT, "packages/cni/shim/build.sh"), join(dir, "bin")], {});
  for (const folder of ["run", "var"]) await mkdir(join(dir, folder));
  await writeFile(join(dir, "var/nodename"), "node1\n");

  const children = new Map<string, ChildProcess>();
  const logs = new Map<string, string>();
  stack.defer(async () => {
    for (const child of children.values()) await killChild(child);
  });
  const launch = async (name: string, command: readonly string[], probe: readonly string[]): Promise<void> => {
    const child = spawn("nsenter", [`--net=${netnsPath(ns)}`, "--", ...command], { stdio: ["ignore", "ignore", "pipe"] });
    children.set(name, child);
    child.stderr?.on("data", (chunk: Buffer) => logs.set(name, ((logs.get(name) ?? "") + chunk.toString()).slice(-2_000_000)));
    const ready = async () => (await run(probe, { netnsPath: netnsPath(ns) })).code === 0;
    await untilReady(child, ready, () => `Cannot start ${name}: ${logs.get(name) ?? "it said nothing"}`);
  };
  const stop = async (name: string) => {
    const child = children.get(name);
    if (child !== undefined) await killChild(child);
  };
  const etcdUp = () => {
    const data = ["--data-dir", join(dir, "etcd"), "--unsafe-no-fsync", "--log-level", "error", "--logger", "zap"];
    const urls = ["--listen-client-urls", ETCD, "--advertise-client-urls", ETCD, "--listen-peer-urls", "http://127.0.0.1:23800"];
    const cluster = ["--initial-advertise-peer-urls", "http://127.0.0.1:23800", "--initial-cluster", "default=http://127.0.0.1:23800"];
    return launch("etcd", ["etcd", ...data, ...urls, ...cluster], ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/23790"]);
  };
  const etcdctl = (...args: string[]) => runOrThrow(["etcdctl", "--endpoints", ETCD, ...args], { netnsPath: netnsPath(ns) });
  await etcdUp();
  await etcdctl(
    "put",
    "/calico/resources/v3/projectcalico.org/clusterinformations/default",
    object("ClusterInformation", "default", { clusterGUID: "0".repeat(32), datastoreReady: true }),
  );
  const pool: TestNode["pool"] = async (name, spec) => {
    const modes = { ipipMode: "Never", vxlanMode: "Never", natOutgoing: true, nodeSelector: "all()" };
    await etcdctl("put", `/calico/resources/v3/projectcalico.org/ippools/${name}`, object("IPPool", name, { ...spec, ...modes }));
  };
  await pool("p", { cidr: "192.200.0.0/16", blockSize: 26 });

  const timed = async (file: string, call: Call, args: readonly string[] = []): Promise<Outcome> => {
    const env = environment(call, { ns, dir });
    const start = performance.now();
    const done = await exec([file, ...args.map((a) => (a.includes("/") ? join(ROOT, a) : a))], {
      env,
      stdin: stdinOf(call),
      netns: netnsPath(ns),
    });
    return { ...done, json: parse(done.stdout), ms: performance.now() - start };
  };
  const dirs = [
    "--node",
    "node1",
    "--etcd",
    ETCD,
    "--nats",
    `nats://127.0.0.1:${NATS_PORT}`,
    "--run-dir",
    join(dir, "run"),
    "--var-dir",
    join(dir, "var"),
    "--health-port",
    "-1",
  ];
  const node: TestNode = {
    ns,
    dir,
    etcdUrl: ETCD,
    launch,
    start: (what, ...args) =>
      launch(what, [RUN, `packages/${what}/src/main.ts`, ...dirs, ...args], ["bash", "-c", `test -S ${join(dir, "run", `${what}.sock`)}`]),
    async startPolicy() {
      const nats = ["nats-server", "-a", "127.0.0.1", "-p", NATS_PORT, "-js", "-sd", join(dir, "nats")];
      await launch("nats", nats, ["bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/${NATS_PORT}`]);
      await launch("syncer", [RUN, "packages/bus/src/main.ts", ...dirs], ["true"]);
      const felix = [RUN, "packages/felix/src/main.ts", ...dirs, "--health-port", FELIX_HEALTH_PORT];
      await launch("felix", felix, ["bash", "-c", isReady(FELIX_HEALTH_PORT)]);
    },
    stop,
    etcd: (state) => (state === "up" ? etcdUp() : stop("etcd")),
    pool,
    cni: (call) => timed(join(dir, "bin", call.plugin ?? "calico"), call),
    program: ([file, ...args], call) => timed(join(ROOT, file), call, args),
    async kill(what) {
      const child = children.get(what);
      if (child === undefined) throw new Error(`${what} was not started`);
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    },
    plugin: (name, call) => timed(join("/usr/lib/cni", name), call),
    async podNetns(name) {
      await createNetns(`${ns}-${name}`);
      return netnsPath(`${ns}-${name}`);
    },
    dropPodNetns: (name) => deleteNetns(`${ns}-${name}`),
    ip: (netns, ...args) => runOrThrow(["ip", "-n", netns, ...args], {}),
    inNode: (...command) => run(command, { netnsPath: netnsPath(ns) }),
    keys: async (prefix) => (await etcdctl("get", "--prefix", "--keys-only", prefix)).split("\n").filter((l) => l !== ""),
    async rssMb(what) {
      const status = await readFile(`/proc/${children.get(what)?.pid}/status`, "utf8");
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
    },
    log: (what) => logs.get(what) ?? "",
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
  return node;
}

function isReady(port: string): string {
  return `exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'GET /readiness HTTP/1.0\\r\\n\\r\\n' >&3; head -1 <&3 | grep -q ' 200'`;
}

function object(kind: string, name: string, spec: object): string {
  const metadata = { name, uid: "00000000-0000-4000-8000-000000000001", creationTimestamp: "2026-08-01T10:00:00Z" };
  return JSON.stringify({ kind, apiVersion: "projectcalico.org/v3", metadata, spec });
}

function environment(call: Call, { ns, dir }: { ns: string; dir: string }): Record<string, string> {
  const pod = call.pod ?? "nginx";
  const all: Record<string, string | undefined> = {
    PATH: process.env["PATH"],
    CALICO_CNI_SOCKET: join(dir, "run/cni.sock"),
    CALICO_RUN_DIR: join(dir, "run"),
    CALICO_VAR_DIR: join(dir, "var"),
    CNI_COMMAND: call.command ?? "ADD",
    CNI_CONTAINERID: call.container ?? `c-${pod}`,
    CNI_NETNS: call.netns ?? `/run/netns/${ns}-${pod}`,
    CNI_IFNAME: "eth0",
    CNI_ARGS: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod};IgnoreUnknown=1`,
    CNI_PATH: `${join(dir, "bin")}:/usr/lib/cni`,
    ...call.env,
  };
  return Object.fromEntries(Object.entries(all).filter((e): e is [string, string] => e[1] !== undefined));
}

/** The seed's configuration without the API server. */
function stdinOf({ conf = {} }: Call): string {
  if (typeof conf === "string") return conf;
  const base = { name: "k8s-pod-network", cniVersion: "0.3.0", type: "calico", etcd_endpoints: ETCD, log_level: "info", mtu: 1500 };
  return JSON.stringify({ ...base, ipam: { type: "calico-ipam" }, policy: {}, ...conf });
}

/** As a runtime in that namespace would: the new process inherits the namespace of the thread that makes it. */
function exec(
  [file = "", ...args]: readonly string[],
  o: { env: Record<string, string>; stdin: string; netns: string },
): Promise<{ exit: number | undefined; stdout: string }> {
  return new Promise((resolve) => {
    const child = withNetns(o.netns, () => ({
      process: spawn(file, args, { env: o.env, stdio: ["pipe", "pipe", "ignore"] }),
    })).process;
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    // The executable may end before it read everything.
    child.stdin.on("error", () => {});
    child.stdin.end(o.stdin);
    child.on("close", (code) => resolve({ exit: code ?? undefined, stdout }));
  });
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
