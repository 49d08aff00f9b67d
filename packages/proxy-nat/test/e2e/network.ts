/** One node and its pods as network namespaces, each with an agent process inside. Everything is named after this process and removed at the end. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createNetns, deleteNetns, netnsPath, openNetlink, writeSysctl } from "@calico/linux";
import type { AgentAnswer, AgentRequest } from "./agent.ts";

export interface Place {
  readonly netns: string;
  ask(request: AgentRequest): Promise<AgentAnswer>;
}

export interface Network extends AsyncDisposable {
  readonly node: Place;
  readonly pods: Readonly<Record<string, Place>>;
}

const GATEWAY = "169.254.1.1";

/** `pods` are names and addresses; the node is 10.0.2.6 with a default route into a neighbour that answers nothing. */
export async function makeNetwork(pods: Readonly<Record<string, string>>): Promise<Network> {
  await using undo = new AsyncDisposableStack();
  const prefix = `proxynat${process.pid}`;
  const make = async (name: string): Promise<string> => {
    await createNetns(`${prefix}-${name}`);
    undo.defer(() => deleteNetns(`${prefix}-${name}`));
    return netnsPath(`${prefix}-${name}`);
  };
  const node = await make("node");
  const wan = await make("wan");
  await wireNode(node, wan);
  const places: Record<string, Place> = {};
  for (const [name, ip] of Object.entries(pods)) {
    const pod = await make(name);
    await wirePod(node, { pod, device: `cali${name}`, ip });
    places[name] = await startAgent(pod, undo);
  }
  const network = { node: await startAgent(node, undo), pods: places };
  const all = undo.move();
  return { ...network, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

async function wireNode(node: string, wan: string): Promise<void> {
  using outside = openNetlink({ netnsPath: wan });
  using inside = openNetlink({ netnsPath: node });
  await inside.setLink("lo", { up: true });
  await inside.addLink({ kind: "veth", name: "enp0s3", peer: { name: "wan0", netns: wan } });
  await outside.setLink("wan0", { up: true });
  await inside.setLink("enp0s3", { up: true });
  await inside.replaceAddress("enp0s3", "10.0.2.6/24");
  await inside.replaceRoute({ dst: "0.0.0.0/0", type: "unicast", via: "10.0.2.1", protocol: 4 });
  writeSysctl("net/ipv4/ip_forward", "1", { netnsPath: node });
}

async function wirePod(node: string, o: { pod: string; device: string; ip: string }): Promise<void> {
  using host = openNetlink({ netnsPath: node });
  using pod = openNetlink({ netnsPath: o.pod });
  await host.addLink({ kind: "veth", name: o.device, peer: { name: "eth0", netns: o.pod } });
  await pod.setLink("lo", { up: true });
  await pod.setLink("eth0", { up: true });
  await host.setLink(o.device, { up: true });
  writeSysctl(`net/ipv4/conf/${o.device}/proxy_arp`, "1", { netnsPath: node });
  writeSysctl(`net/ipv4/neigh/${o.device}/proxy_delay`, "0", { netnsPath: node });
  await host.replaceRoute({ dst: `${o.ip}/32`, type: "unicast", dev: o.device, scope: "link", protocol: 3 });
  await pod.replaceAddress("eth0", `${o.ip}/32`);
  await pod.replaceRoute({ dst: `${GATEWAY}/32`, type: "unicast", dev: "eth0", scope: "link", protocol: 3 });
  await pod.replaceRoute({ dst: "0.0.0.0/0", type: "unicast", via: GATEWAY, dev: "eth0", protocol: 3 });
}

async function startAgent(netns: string, undo: AsyncDisposableStack): Promise<Place> {
  const child = spawn("nsenter", [`--net=${netns}`, "--", process.execPath, fileURLToPath(new URL("./agent.ts", import.meta.url))], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  undo.defer(() => stop(child));
  const lines = createInterface({ input: child.stdout });
  let last: Promise<unknown> = Promise.resolve();
  return {
    netns,
    /** One request at a time; the next waits its turn. */
    ask(request) {
      const answer = last.then(() => exchange(child, lines, request));
      last = answer.catch(() => {});
      return answer;
    },
  };
}

async function exchange(child: ChildProcess, lines: Interface, request: AgentRequest): Promise<AgentAnswer> {
  const line = once(lines, "line");
  child.stdin?.write(`${JSON.stringify(request)}\n`);
  const [text] = (await line) as [string];
  return JSON.parse(text) as AgentAnswer;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
