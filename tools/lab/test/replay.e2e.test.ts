import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import type { BgpStatus } from "@calico/bgp";
import { createNetns, deleteNetns, netnsPath, openIpset, openIptables } from "@calico/linux";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "../src/adapter/exec.ts";
import { bringUpDemo } from "../src/demo/demo.ts";
import { planTopology } from "../src/domain/topology.ts";
import { type Lab, root } from "../src/service/lab.ts";

/**
 * What `calico-replay render` says of now is what the agents of a running cluster have in the kernel: felix's rules, sets and routes,
 * bgp's peers and routes, proxy-nat's rules. The cluster wants TLS and logins, so replay uses its own.
 */
const id = `rp-${process.pid}`;
const topology = planTopology(id);
const again = `${id}-again`;
let lab: Lab;

beforeAll(async () => {
  lab = await bringUpDemo({ id, encap: "auto", secure: true, quiet: true, signal: new AbortController().signal });
}, 180_000);
afterAll(async () => {
  await deleteNetns(again).catch(() => {});
  await lab?.[Symbol.asyncDispose]();
}, 60_000);

/** The program itself, as a person at the master would run it. */
async function rendered(node: string, component: string, ...flags: readonly string[]): Promise<string> {
  const nats = { NATS_URL: `nats://${topology.control.bgpIp}:4222` };
  const command = ["tools/replay/src/main.ts", "render", "--node", node, "--component", component, ...flags];
  const ran = await exec([join(root, "setup/run.sh"), ...command], { netns: topology.controlNetns, env: { ...lab.environment, ...nats } });
  expect(ran).toMatchObject({ code: 0, stderr: "" });
  return ran.stdout;
}

type Node = (typeof topology.nodes)[number];
const netnsOf = (node: Node) => netnsPath(node.netns);

async function routesOf(node: Node): Promise<string> {
  const { stdout } = await exec(["ip", "route", "show", "proto", "179"], { netns: node.netns });
  return stdout
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .toSorted()
    .join("\n");
}

/** What the speaker answers on its socket, in the words of render's first lines. */
async function speakerOf(node: Node): Promise<string> {
  const status = await new Promise<BgpStatus>((resolve, reject) => {
    let text = "";
    const socket = connect(join(node.runDir, "bgp.sock"), () => socket.write('{"op":"status"}\n'));
    socket.once("error", reject);
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (!text.endsWith("\n")) return;
      socket.destroy();
      resolve(JSON.parse(text) as BgpStatus);
    });
  });
  const peers = status.peers.map(
    (p) => `# peer ${p.name} ${p.address} AS ${p.as}${p.bgpState === "Established" ? "" : ` is ${p.bgpState}`}`,
  );
  return [`# AS ${status.as}, router id ${status.routerId}`, ...peers].join("\n");
}

/** Rules and chains that a mark tells to be an agent's, without counters; order matters inside of a chain only. */
async function rulesOf(path: string, mine: RegExp): Promise<string> {
  const iptables = openIptables({ netnsPath: path, backend: "nft", family: 4 });
  const tables: string[] = [];
  for (const table of ["raw", "mangle", "nat", "filter"] as const) {
    const lines = (await iptables.save(table)).split("\n").filter((line) => mine.test(line));
    const chains = lines.filter((line) => line.startsWith(":")).map((line) => line.replace(/ \[\d+:\d+\]/, ""));
    const rules = lines.filter((line) => line.startsWith("-A ")).toSorted((a, b) => byText(a.split(" ")[1] ?? "", b.split(" ")[1] ?? ""));
    tables.push(`*${table}`, ...chains.toSorted(), ...rules);
  }
  return tables.join("\n");
}

const byText = (a: string, b: string) => (a < b ? -1 : Number(a > b));

async function setsOf(path: string): Promise<string> {
  const sets = await openIpset({ netnsPath: path }).list();
  return sets
    .filter(({ name }) => name.startsWith("cali4"))
    .map(({ name, type, members }) => `${name} ${type} ${members.toSorted().join(" ")}`)
    .toSorted()
    .join("\n");
}

/** The program in an empty namespace, as the kernel shows it back: rules of `mine`, and sets. */
async function loaded(program: { readonly ipsets?: string; readonly iptables: string }, mine: RegExp): Promise<string> {
  await deleteNetns(again).catch(() => {});
  await createNetns(again);
  const path = netnsPath(again);
  expect(await openIpset({ netnsPath: path }).restore(program.ipsets ?? "")).toMatchObject({ ok: true });
  const done = await openIptables({ netnsPath: path, backend: "nft", family: 4 }).restore(program.iptables, { noflush: true });
  expect(done).toEqual({ ok: true, value: undefined });
  return `${await rulesOf(path, mine)}\n${await setsOf(path)}`;
}

/** Parts of a program by the comment lines that head them. */
function partsOf(text: string): ReadonlyMap<string, string> {
  const parts = text.split(/^# (?=(?:ipset|iptables|ip6tables|network)\n)/m).filter((part) => part.trim() !== "");
  return new Map(parts.map((part) => [part.slice(0, part.indexOf("\n")), `${part.slice(part.indexOf("\n") + 1).trimEnd()}\n`]));
}

const OF_FELIX = /^:cali-|cali:/;
const OF_NAT = /^:calinat-|calinat:/;

type Programs = { readonly bgp: string; readonly felix: string; readonly nat: string };

async function liveOf(node: Node): Promise<Programs> {
  const path = netnsOf(node);
  return {
    bgp: `${await speakerOf(node)}\n${await routesOf(node)}`,
    felix: `${await rulesOf(path, OF_FELIX)}\n${await setsOf(path)}`,
    nat: await rulesOf(path, OF_NAT),
  };
}

async function renderedOf(node: Node): Promise<Programs> {
  const bgp = (await rendered(node.name, "bgp", "--device", "enp0s8")).trimEnd().split("\n");
  const routes = bgp.filter((line) => !line.startsWith("#")).map((line) => line.replace(" proto 179", ""));
  const felix = partsOf(await rendered(node.name, "felix"));
  const nat = partsOf(await rendered(node.name, "proxy-nat", "--cluster-cidr", "192.200.0.0/16"));
  return {
    bgp: [...bgp.filter((line) => line.startsWith("#")), ...routes.toSorted()].join("\n"),
    felix: await loaded({ ipsets: felix.get("ipset") ?? "", iptables: felix.get("iptables") ?? "" }, OF_FELIX),
    nat: (await loaded({ iptables: nat.get("iptables") ?? "" }, OF_NAT)).trimEnd(),
  };
}

/** Both are read until they agree, since a change may be on its way; then the last of both is compared. */
async function expectSame(node: Node): Promise<Programs> {
  const deadline = performance.now() + 40_000;
  for (;;) {
    const [live, wanted] = [await liveOf(node), await renderedOf(node)];
    if (JSON.stringify(live) === JSON.stringify(wanted) || performance.now() > deadline) {
      expect(live).toEqual(wanted);
      return live;
    }
  }
}

test.for(topology.nodes)("render of now is what the agents of $name have in the kernel", async (node) => {
  const { bgp, felix, nat } = await expectSame(node);
  expect(bgp).toMatch(/^# peer Mesh_192_168_81_10[12] /m);
  expect(bgp).toMatch(/^192\.200\.\S+ via 192\.168\.81\.10[12] dev enp0s8$/m);
  expect(bgp).toMatch(/^blackhole 192\.200\./m);
  expect(felix).toMatch(/^:cali-tw-/m);
  expect(felix).toMatch(/^cali40network-ip-pools hash:net 192\.200\.0\.0\/16$/m);
  expect(nat).toContain("--to-destination 192.200.");
});

test("and again after a service, a label, a policy and a pool changed", async () => {
  const [first, second] = [topology.nodes[0]!, topology.nodes[1]!];
  const before = await liveOf(first);
  const must = async (done: Promise<{ code: number; stderr: string }>) => expect(await done).toMatchObject({ code: 0 });
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "more", namespace: "default" },
    spec: { clusterIP: "10.96.100.77", selector: { app: "web" }, ports: [{ name: "http", port: 8080, targetPort: 80 }] },
  };
  await must(lab.kubectl(["apply", "-f", "-"], JSON.stringify(service)));
  await must(lab.kubectl(["label", "--overwrite", "pod", "client-1", "access=granted"]));
  const policy = {
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkPolicy",
    metadata: { name: "replayed" },
    spec: { selector: "app == 'web'", order: 3, ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: [80, 8443] } }] },
  };
  await must(lab.calicoctl(["apply", "-f", "-"], { input: JSON.stringify(policy) }));
  await must(lab.calicoctl(["patch", "ippool", "default-ipv4-ippool", "--patch", '{"spec":{"disableBGPExport":true}}']));
  await expect.poll(() => rendered("node1", "proxy-nat"), { timeout: 20_000 }).toContain("10.96.100.77");
  await expect.poll(() => rendered("node1", "felix"), { timeout: 20_000 }).toContain("8443");
  await expect.poll(() => rendered("node1", "bgp"), { timeout: 20_000 }).not.toContain(" via ");
  const after = await expectSame(first);
  expect((await expectSame(second)).felix).toMatch(/^cali40s:\S+ hash:net 192\.200\./m);
  for (const part of ["bgp", "felix", "nat"] as const) expect(after[part]).not.toBe(before[part]);
});
