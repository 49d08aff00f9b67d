import { NETWORK, type NodePlan, PORTS, type Topology } from "./topology.ts";

/** One process that the lab keeps running: what, where, and how its readiness is seen. */
export interface ProcessSpec {
  readonly name: string;
  readonly netns: string;
  /** A program of this repository (run by setup/run.sh), or a command of the system. */
  readonly run: { readonly program: string } | { readonly command: string };
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Ready when this answers: an HTTP path that gives 2xx, or a TCP port or unix socket that accepts; absent: as soon as it runs. */
  readonly ready?: { readonly http: string } | { readonly tcp: readonly [string, number] } | { readonly socket: string };
  readonly node?: string;
}

/** What nats-server takes only from a file: values as large as etcd's, and a dead member noticed in 6 s (docs/operations.md). */
export const NATS_CONF = `max_payload: 2MB\nping_interval: "2s"\nping_max: 2\n`;
export const natsConfFile = (t: Topology): string => `${t.dir}/nats.conf`;

const HEALTH = { felix: 9099, bgp: 9100, "proxy-nat": 9101, ipam: 9102, cni: 9103, "kube-controllers": 9094, syncer: 9104 } as const;

const health = (port: number) => ({ http: `http://127.0.0.1:${port}/liveness` });
const etcdUrl = (t: Topology) => `http://${t.control.bgpIp}:${PORTS.etcd}`;
const natsUrl = (t: Topology) => `nats://${t.control.bgpIp}:${PORTS.nats}`;

/** The store, the bus, and the world outside: before everything else. */
export function storeProcesses(t: Topology): readonly ProcessSpec[] {
  const url = (port: number) => `http://${t.control.bgpIp}:${port}`;
  const peer = "http://127.0.0.1:2380";
  return [
    {
      name: "etcd",
      netns: t.controlNetns,
      run: { command: "etcd" },
      args: [
        ...["--name", "lab", "--data-dir", `${t.dir}/ctl/etcd`, "--log-level", "warn", "--logger", "zap"],
        ...["--listen-client-urls", `${url(PORTS.etcd)},${url(PORTS.etcdService)}`, "--advertise-client-urls", url(PORTS.etcd)],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `lab=${peer}`],
      ],
      ready: { http: `${url(PORTS.etcd)}/health` },
    },
    {
      name: "nats-server",
      netns: t.controlNetns,
      run: { command: "nats-server" },
      args: [
        "--addr",
        t.control.bgpIp,
        "--port",
        String(PORTS.nats),
        "--jetstream",
        "--store_dir",
        `${t.dir}/ctl/nats`,
        "-c",
        natsConfFile(t),
      ],
      ready: { tcp: [t.control.bgpIp, PORTS.nats] },
    },
    {
      name: "outside-web",
      netns: t.outsideNetns,
      run: { command: "nginx" },
      args: ["-p", t.dir, "-c", `${t.dir}/outside.conf`, "-e", "stderr"],
      ready: { tcp: [t.gatewayIp, PORTS.outsideWeb] },
    },
  ];
}

/** The lab's own Kubernetes API and its controllers; not started where an existing API server is used. */
export function apiProcesses(t: Topology): readonly ProcessSpec[] {
  return [
    {
      name: "apiserver",
      netns: t.controlNetns,
      run: { program: "tools/lab/src/apiserver/main.ts" },
      args: [
        ...["--etcd", etcdUrl(t), "--listen", `${t.control.bgpIp}:${PORTS.api}`, "--advertise", t.control.bgpIp],
        ...["--tls-cert", `${t.dir}/pki/api.crt`, "--tls-key", `${t.dir}/pki/api.key`, "--token-file", `${t.dir}/pki/token`],
        ...["--service-cidr", NETWORK.serviceCidr],
      ],
      ready: { tcp: [t.control.bgpIp, PORTS.api] },
    },
  ];
}

/** What mirrors the API into the store and the store onto the bus. */
export function controlProcesses(
  t: Topology,
  options: { readonly ownApi: boolean; readonly ownControllers: boolean },
): readonly ProcessSpec[] {
  const kubeconfig = `${t.dir}/kubeconfig.lab`;
  const common = ["--etcd", etcdUrl(t), "--nats", natsUrl(t)];
  const relay = [
    `unix:${t.dir}/sock/etcd=tcp:${t.control.bgpIp}:${PORTS.etcd}`,
    `unix:${t.dir}/sock/nats=tcp:${t.control.bgpIp}:${PORTS.nats}`,
    options.ownApi
      ? `unix:${t.dir}/sock/api=tcp:${t.control.bgpIp}:${PORTS.api}`
      : `tcp:${t.control.bgpIp}:${PORTS.api}=unix:${t.dir}/sock/external-api`,
  ];
  const specs: ProcessSpec[] = [
    {
      name: "relay",
      netns: t.controlNetns,
      run: { program: "tools/lab/src/relay/main.ts" },
      args: relay,
      ready: { socket: `${t.dir}/sock/etcd` },
    },
    {
      name: "syncer",
      netns: t.controlNetns,
      run: { program: "packages/bus/src/main.ts" },
      args: ["--node", "ctl", ...common],
      ready: health(HEALTH.syncer),
    },
    {
      name: "kube-controllers",
      netns: t.controlNetns,
      run: { program: "packages/kube-controllers/src/main.ts" },
      args: ["--kubeconfig", kubeconfig, ...common],
      ready: health(HEALTH["kube-controllers"]),
    },
  ];
  if (options.ownControllers)
    specs.push({
      name: "kcm",
      netns: t.controlNetns,
      run: { program: "tools/lab/src/kcm/main.ts" },
      args: ["--kubeconfig", kubeconfig],
    });
  return specs;
}

/** The five daemons of a node, and the lab's kubelet. The node reaches etcd as the seed does: at a Service address, through its own NAT. */
export function nodeProcesses(t: Topology, node: NodePlan): readonly ProcessSpec[] {
  const common = ["--node", node.name, "--nats", natsUrl(t), "--run-dir", node.runDir, "--var-dir", node.varDir];
  const etcd = ["--etcd", `http://${NETWORK.etcdServiceIp}:${PORTS.etcdService}`];
  const kubeconfig = ["--kubeconfig", `${t.dir}/kubeconfig.lab`];
  const daemon = (name: keyof typeof HEALTH, extra: readonly string[] = []): ProcessSpec => ({
    name: `${node.name}/${name}`,
    netns: node.netns,
    run: { program: `packages/${name}/src/main.ts` },
    args: [...common, ...extra],
    ready: health(HEALTH[name]),
    node: node.name,
  });
  return [
    daemon("proxy-nat", ["--cluster-cidr", NETWORK.podPool]),
    daemon("felix"),
    daemon("bgp"),
    daemon("ipam", etcd),
    daemon("cni", [...etcd, ...kubeconfig]),
    {
      name: `${node.name}/kubelet`,
      netns: node.netns,
      run: { program: "tools/lab/src/kubelet/main.ts" },
      args: [
        ...[
          "--node",
          node.name,
          "--node-ip",
          node.bgpIp,
          "--lab",
          t.id,
          "--run-dir",
          node.runDir,
          "--dns",
          NETWORK.dnsServiceIp,
          ...kubeconfig,
        ],
        ...["--cni-conf", `${node.cniConfDir}/10-calico.conflist`],
      ],
      env: { CALICO_CNI_SOCKET: `${node.runDir}/cni.sock`, CALICO_VAR_DIR: node.varDir, CALICO_RUN_DIR: node.runDir },
      ready: { socket: `${node.runDir}/kubelet.sock` },
      node: node.name,
    },
  ];
}
