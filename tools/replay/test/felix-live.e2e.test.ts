/** What render says of now is what a live felix has programmed. Needs root. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { openTestSyncer, startNats, type TestNats } from "@calico/bus/testing";
import { recordingLogger } from "@calico/daemon/testing";
import { openEtcd, resourceClient, type ResourceClient, type Store } from "@calico/datastore";
import { startEtcd, type TestEtcd } from "@calico/datastore/testing";
import { createNetns, deleteNetns, netnsPath, openIpset, openIptables, openNetlink, runOrThrow } from "@calico/linux";
import { vethName } from "@calico/model";
import { aNamespaceProfile, aNode, aPolicy, aPool, aWep } from "@calico/model/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readLog } from "../src/adapter/log.ts";
import { render } from "../src/service/render.ts";

const root = new URL("../../../", import.meta.url).pathname;
const host = `replay-${process.pid}`;
const again = `replay-${process.pid}-again`;
const BACKEND = "nft";
const PODS = [
  { pod: "web", ip: "10.0.0.1", mac: "02:00:00:00:00:01", labels: { app: "web" } },
  { pod: "client", ip: "10.0.0.2", mac: "02:00:00:00:00:02", labels: { app: "client" } },
].map((p) => ({ ...p, iface: vethName("shop", p.pod) }));

let etcd: TestEtcd;
let nats: TestNats;
let store: Store;
let client: ResourceClient;
let syncer: AsyncDisposable;
let felix: ChildProcess;
const relays: ChildProcess[] = [];
let said = "";
let dir: string;

const must = async (done: Promise<{ ok: boolean; error?: unknown }>): Promise<void> => {
  const result = await done;
  if (!result.ok) throw new Error(JSON.stringify(result.error));
};

/** Two links of pods, up, with the far ends in the same namespace; and a way to other nodes. */
async function makeHost(name: string): Promise<void> {
  await createNetns(name);
  const sh = (command: string) => runOrThrow(["sh", "-c", command], { netnsPath: netnsPath(name) });
  await sh(
    "ip link set lo up; ip link add eth0 type veth peer name eth0up; ip addr add 192.168.81.101/24 dev eth0; ip link set eth0 up; ip link set eth0up up",
  );
  for (const { iface, mac, ip } of PODS)
    await sh(
      `ip link add ${iface} type veth peer name p${ip.slice(-1)} address ${mac}; ip link set ${iface} up; ip link set p${ip.slice(-1)} up`,
    );
}

beforeAll(async () => {
  [etcd, nats, dir] = await Promise.all([startEtcd(), startNats(), mkdtemp(join(tmpdir(), `${host}-`))]);
  store = openEtcd({ endpoints: etcd.endpoints });
  client = resourceClient(store);
  await client.ensureInitialized();
  await makeHost(host);
  await createNetns(again);
  syncer = openTestSyncer({ etcd: etcd.endpoints, nats: nats.servers, log: recordingLogger() });
  for (const o of [
    aNode("node1", "192.168.81.101/24"),
    aNode("node2", "192.168.81.102/24"),
    aPool("pods", "10.0.0.0/16", { natOutgoing: true }),
    aNamespaceProfile("shop", { team: "a" }),
  ])
    await must(client.create(o));
  for (const { pod, ip, labels, mac } of PODS)
    await must(client.create(aWep({ node: "node1", namespace: "shop", pod, ip, labels, spec: { mac } })));
  await must(client.create(aWep({ node: "node2", namespace: "shop", pod: "far", ip: "10.0.1.1", labels: { app: "client" } })));
  const args = [
    "packages/felix/src/main.ts",
    "--node",
    "node1",
    "--nats",
    nats.servers.join(","),
    "--run-dir",
    dir,
    "--var-dir",
    dir,
    "--health-port",
    "-1",
    "--iptables-backend",
    BACKEND,
    "--refresh",
    "3600",
  ];
  // The servers are on the loopback outside: two relays that meet at a socket lead there.
  const [socket, address] = [`unix:${dir}/nats.sock`, nats.servers[0]!.replace("nats://", "tcp:")];
  const launch = join(root, "setup/run.sh");
  relays.push(spawn(launch, ["tools/lab/src/relay/main.ts", `${socket}=${address}`], { stdio: "ignore" }));
  relays.push(
    spawn("nsenter", [`--net=${netnsPath(host)}`, launch, "tools/lab/src/relay/main.ts", `${address}=${socket}`], { stdio: "ignore" }),
  );
  felix = spawn("nsenter", [`--net=${netnsPath(host)}`, launch, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  felix.stderr?.on("data", (data: Buffer) => (said += data.toString()));
});
afterAll(async () => {
  for (const child of [felix, ...relays]) {
    if (child === undefined || child.exitCode !== null) continue;
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  await syncer?.[Symbol.asyncDispose]();
  await store?.close();
  await Promise.all([etcd?.stop(), nats?.stop(), deleteNetns(host), deleteNetns(again)]);
  await rm(dir, { recursive: true, force: true });
});

type Kernel = { readonly tables: string; readonly sets: string; readonly routes: string };

/** Rules and chains without counters and comments of the tools, sets with sorted members, routes of pods. */
async function kernelOf(name: string): Promise<Kernel> {
  const at = { netnsPath: netnsPath(name) };
  const tables: string[] = [];
  for (const family of [4, 6] as const) {
    const iptables = openIptables({ ...at, backend: BACKEND, family });
    for (const table of ["raw", "mangle", "nat", "filter"] as const) {
      const lines = (await iptables.save(table)).split("\n").filter((line) => /^(:cali|-A )/.test(line));
      tables.push(
        `IPv${family} ${table}`,
        ...lines
          .filter((l) => l.startsWith(":"))
          .map((l) => l.replace(/\[\d+:\d+\]/, ""))
          .toSorted(),
        ...lines.filter((l) => l.startsWith("-A")).toSorted(byChain),
      );
    }
  }
  const sets = (await openIpset(at).list()).map(({ name: set, type, members }) => `${set} ${type} ${members.toSorted().join(" ")}`);
  using netlink = openNetlink(at);
  const routes = (await netlink.routes())
    .filter(({ dev }) => dev?.startsWith("cali"))
    .filter(({ dst, protocol }) => !dst.startsWith("fe80") && protocol !== 2);
  return {
    tables: tables.join("\n"),
    sets: sets.toSorted().join("\n"),
    routes: routes
      .map(({ dst, dev, scope }) => `route ${dst} dev ${dev} scope ${scope}`)
      .toSorted()
      .join("\n"),
  };
}

/** Order matters inside of a chain only. */
function byChain(a: string, b: string): number {
  const [x, y] = [a.split(" ")[1] ?? "", b.split(" ")[1] ?? ""];
  return x < y ? -1 : Number(x > y);
}

/** The text of render in an empty namespace, then read back by the kernel's own tools. */
async function kernelAfter(text: string): Promise<Kernel> {
  const at = { netnsPath: netnsPath(again) };
  const parts = new Map(
    text
      .split(/^# (?=ipset\n|iptables\n|ip6tables\n|network\n)/m)
      .filter((part) => part !== "")
      .map((part) => [part.slice(0, part.indexOf("\n")), part.slice(part.indexOf("\n") + 1)]),
  );
  const taken = await openIpset(at).restore(parts.get("ipset") ?? "");
  expect(taken).toEqual({ ok: true, value: undefined });
  for (const [family, part] of [
    [4, "iptables"],
    [6, "ip6tables"],
  ] as const) {
    const done = await openIptables({ ...at, backend: BACKEND, family }).restore(parts.get(part)?.trim().concat("\n") ?? "", {
      noflush: true,
    });
    expect(done).toEqual({ ok: true, value: undefined });
  }
  const routes = (parts.get("network") ?? "")
    .split("\n")
    .filter((line) => line.startsWith("route "))
    .map((line) => line.replace(/ lladdr .*$/, ""));
  return {
    ...(await kernelOf(again)),
    routes: routes
      .map((line) => line.replace(/ (\d+\.\d+\.\d+\.\d+) /, " $1/32 "))
      .toSorted()
      .join("\n"),
  };
}

const rendered = async () => {
  const history = await readLog({ servers: nats.servers, timeoutMs: 5000, progress: () => {} });
  return render(history.records, "node1", { families: [4, 6], natFamilies: [4], clusterCidrs: [], components: ["felix"] })["felix"] ?? "";
};

/** The log has an object that this text names. */
async function logged(text: string): Promise<string> {
  await expect.poll(rendered, { timeout: 10_000 }).toContain(text);
  return rendered();
}

/** felix comes to what render says, and nothing else. */
async function expectLive(want: Kernel): Promise<Kernel> {
  try {
    await expect.poll(() => kernelOf(host), { timeout: 30_000, interval: 100 }).toEqual(want);
  } catch (error) {
    throw new Error(`felix (${felix.exitCode ?? "running"}) said:\n${said.slice(-2000)}`, { cause: error });
  }
  return want;
}

async function empty(): Promise<void> {
  await deleteNetns(again);
  await createNetns(again);
}

test("felix: rules, sets and routes of the live daemon are those of render, then again after changes", async () => {
  const before = await logged("route 10.0.0.2/32");
  const first = await expectLive(await kernelAfter(before));
  expect(first.tables).toContain(`:cali-tw-${PODS[0]!.iface}`);
  expect(first.routes.split("\n")).toHaveLength(2);
  const policy = aPolicy(
    "allow",
    {
      selector: "app == 'web'",
      order: 7,
      ingress: [{ action: "Allow", protocol: "TCP", source: { selector: "app == 'client'" }, destination: { ports: [8080] } }],
    },
    "shop",
  );
  await must(client.create(policy));
  const after = await logged("8080");
  expect(after).not.toBe(before);
  await empty();
  const second = await expectLive(await kernelAfter(after));
  expect(second.sets).toMatch(/cali40s:\S+ hash:net 10\.0\.0\.2\S* 10\.0\.1\.1/);
  await must(client.delete({ kind: "NetworkPolicy", namespace: "shop", name: "allow" }));
  await expect.poll(rendered, { timeout: 10_000 }).toBe(before);
  await expectLive(first);
});
