/** For tests: the demonstration's configuration, and a world of fakes to run the plugin in. */
import { resourceClient } from "@calico/datastore";
import { makeFakeStore } from "@calico/datastore/testing";
import type { FakeStore } from "@calico/datastore/testing";
import { makeIpam } from "@calico/ipam";
import { disagreements, putPool } from "@calico/ipam/testing";
import { makeFakeKernel, makeFakeNetlink } from "@calico/linux/testing";
import type { FakeKernel } from "@calico/linux/testing";
import type { Netlink } from "@calico/linux";
import type { Environment } from "./domain/env.ts";
import type { NamespaceFacts, PodFacts } from "./domain/pod.ts";
import { queueName } from "./domain/queued-delete.ts";
import type { QueuedDelete } from "./domain/queued-delete.ts";
import type { Datastore, DeleteQueue, Log, Ports, Settings } from "./ports.ts";
import { allocationsOf, handlesOf } from "./service/allocations.ts";
import { runPlugin } from "./service/run.ts";

/** The seed's network configuration as one plugin sees it. */
export function aNetconf(o: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    cniVersion: "0.3.0",
    name: "k8s-pod-network",
    type: "calico",
    etcd_endpoints: "http://127.0.0.1:2379",
    log_level: "info",
    mtu: 1500,
    ipam: { type: "calico-ipam" },
    policy: { type: "k8s", k8s_api_root: "https://10.96.0.1:443", k8s_auth_token: "<auth token>" },
    kubernetes: { kubeconfig: "/etc/cni/net.d/calico-kubeconfig" },
    ...o,
  });
}

export function anEnvironment(o: Environment = {}): Environment {
  return {
    CNI_COMMAND: "ADD",
    CNI_CONTAINERID: "c1",
    CNI_NETNS: "/run/netns/pod1",
    CNI_IFNAME: "eth0",
    CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=nginx",
    CNI_PATH: "/opt/cni/bin",
    ...o,
  };
}

export type FakeWorld = { -readonly [K in keyof Ports]: Ports[K] } & {
  readonly store: FakeStore;
  readonly fakeKernel: FakeKernel;
  readonly sysctls: Map<string, string>;
  /** Files that exist, by path. */
  readonly present: Map<string, string>;
  readonly waits: { path: string; timeoutMs: number }[];
  readonly lines: { level: "info" | "warn"; message: string; fields: Readonly<Record<string, unknown>> }[];
  readonly log: Log;
  readonly settings: Settings;
};

/** A node with a pool, an empty pod namespace /run/netns/pod1, and a pod default/nginx that the API server knows. */
export async function makeFakeWorld(
  o: {
    readonly pod?: Partial<PodFacts>;
    readonly namespace?: Partial<NamespaceFacts>;
    /** Another node's, in place of one of its own. */
    readonly store?: FakeStore;
    readonly node?: string;
  } = {},
): Promise<FakeWorld> {
  const store = o.store ?? makeFakeStore();
  const resources = resourceClient(store);
  await resources.ensureInitialized();
  await putPool(store, "p", { cidr: "192.200.0.0/16", blockSize: 26 });
  const fakeKernel = makeFakeKernel({ netns: ["/run/netns/pod1"] });
  const sysctls = new Map<string, string>();
  const present = new Map([["/var/lib/calico/nodename", o.node ?? "node1"]]);
  const lines: FakeWorld["lines"] = [];
  const waits: FakeWorld["waits"] = [];
  const datastore: Datastore = {
    ...{ resources, ipam: makeIpam({ store }) },
    allocationsOf: (node) => allocationsOf(store, node),
    handlesOf: (owner) => handlesOf(store, owner),
  };
  return {
    store,
    fakeKernel,
    sysctls,
    present,
    waits,
    lines,
    log: {
      info: (message, fields = {}) => void lines.push({ level: "info", message, fields }),
      warn: (message, fields = {}) => void lines.push({ level: "warn", message, fields }),
    },
    settings: { varDir: "/var/lib/calico", runDir: "/var/run/calico", node: undefined, policyWaitMs: 10_000, hostname: "host" },
    kernel: {
      host: () => withLinkLocal(makeFakeNetlink({ kernel: fakeKernel })),
      pod: (netns) => (fakeKernel.namespaces.has(netns) ? makeFakeNetlink({ kernel: fakeKernel, netnsPath: netns }) : undefined),
      isOwn: (netns) => netns === "/proc/1/ns/net",
      readSysctl: (name) => sysctls.get(`:${name}`),
      writeSysctl: (name, value, where) => void sysctls.set(`${where?.netnsPath ?? ""}:${name}`, String(value)),
    },
    datastoreOf: () => datastore,
    podOf: async () => ({
      labels: { app: "web" },
      generateName: "nginx-",
      serviceAccount: "default",
      ports: [],
      annotations: {},
      ...o.pod,
    }),
    namespaceOf: async () => ({ labels: {}, annotations: {}, ...o.namespace }),
    vmiOf: async () => undefined,
    vmOf: async () => undefined,
    podCidrsOf: async () => ["10.65.3.0/24", "fd65:3::/64"],
    isReady: async () => true,
    deletes: makeFakeQueue(),
    appendToLog: (target, line) => void present.set(target.path, (present.get(target.path) ?? "") + line),
    execPlugin: async ({ type }) => {
      throw new Error(`no plugin ${type} in this test`);
    },
    files: { read: (path) => present.get(path), exists: (path) => present.has(path) },
    async untilFile(path, timeoutMs, accept) {
      waits.push({ path, timeoutMs });
      const content = present.get(path);
      return content !== undefined && accept(content);
    },
    clock: { now: Date.now, pause: async () => {} },
  };
}

function makeFakeQueue(): DeleteQueue {
  const entries = new Map<string, QueuedDelete>();
  return {
    put: (entry) => entries.set(queueName(entry), entry).size > 0,
    list: () => [...entries].map(([name, entry]) => ({ name, entry })),
    has: (name) => entries.has(name),
    remove: (name) => void entries.delete(name),
    removeOf: (containerId) => entries.forEach((_, name) => name.startsWith(`${containerId}@`) && entries.delete(name)),
  };
}

/** The kernel gives a device its link-local address when it comes up; the fake kernel has none. */
function withLinkLocal(netlink: Netlink): Netlink {
  const addresses: Netlink["addresses"] = async (filter) => [
    ...(await netlink.addresses(filter)),
    ...(filter?.link !== undefined && filter.family === 6
      ? [{ link: filter.link, cidr: "fe80::ecee:eeff:feee:eeee/64", scope: "link" } as const]
      : []),
  ];
  return Object.assign(Object.create(netlink) as Netlink, { addresses });
}

/** One call in the world; the pod is default/nginx and the command ADD unless `env` says otherwise. */
export async function callPlugin(
  world: FakeWorld,
  o: { env?: object; conf?: Record<string, unknown>; stdin?: string; plugin?: "calico" | "calico-ipam" } = {},
) {
  const answer = await runPlugin(
    world,
    { plugin: o.plugin ?? "calico", env: anEnvironment(o.env), stdin: o.stdin ?? aNetconf(o.conf) },
    { settings: world.settings, log: world.log },
  );
  return { exit: answer.exit, stdout: answer.stdout, json: answer.stdout === "" ? undefined : JSON.parse(answer.stdout) };
}

type StoredEndpoint = { readonly metadata: object; readonly spec: Readonly<Record<string, unknown>> };

export function endpointsOf(world: FakeWorld): readonly StoredEndpoint[] {
  return [...world.store.dump().values()].filter((kv) => kv.key.includes("/workloadendpoints/")).map((kv) => JSON.parse(kv.value));
}

/** What ADD made and nothing took back: endpoints, addresses, devices; and contradictions in IPAM's records. */
export function leftIn(world: FakeWorld): string[] {
  const keys = [...world.store.dump().keys()].filter((k) => k.includes("/workloadendpoints/") || k.includes("/ipam/v2/handle/"));
  const links = [...world.fakeKernel.namespaces.values()].flatMap((ns) => ns.links.map((l) => l.name)).filter((name) => name !== "lo");
  return [...[...keys, ...links].sort(), ...disagreements(world.store.dump())];
}
export { ROOT, startNode, type Call, type Outcome, type TestNode } from "./testing/node-kit.ts";
