import { readFileSync } from "node:fs";
import process from "node:process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "../src/adapter/exec.ts";
import { controlProcesses, nodeProcesses } from "../src/domain/processes.ts";
import { planTopology } from "../src/domain/topology.ts";
import { startTicks } from "../src/kubelet/process.ts";
import { type Lab, openLab } from "../src/service/lab.ts";

/** Whoever stops a node's services waits for them: each daemon of a running cluster ends by itself, soon, and says that it went well. */
const WITHIN_MS = 3000;
const id = `term-${process.pid}`;
const topology = planTopology(id, 1);
const daemons = ["node1/felix", "node1/bgp", "node1/proxy-nat", "node1/ipam", "node1/cni", "syncer", "kube-controllers"];
let lab: Lab;

beforeAll(async () => {
  lab = await openLab({ topology, encap: "auto" });
});

afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

const specs = [
  ...controlProcesses(topology, { ownApi: true, ownControllers: true }),
  ...topology.nodes.flatMap((node) => nodeProcesses(topology, node)),
].filter(({ name }) => daemons.includes(name));

/** A daemon that only just started has not yet asked for the signal. */
async function untilLive(name: string): Promise<void> {
  const { netns, ready } = specs.find((spec) => spec.name === name)!;
  const url = ready !== undefined && "http" in ready ? ready.http : "";
  await expect
    .poll(async () => (await exec(["busybox", "wget", "-q", "-O", "/dev/null", url], { netns })).code, { timeout: 30_000, interval: 200 })
    .toBe(0);
}

/** How the supervisor saw it end, each time. */
function endings(name: string): readonly string[] {
  const log = readFileSync(`${topology.dir}/log/${name.replaceAll("/", "-")}.log`, "utf8");
  return [...log.matchAll(/^{"component":"lab","message":"process ended",.*"how":"(.*)"}$/gm)].map(([, how]) => how ?? "");
}

async function terminate(name: string): Promise<readonly string[]> {
  await untilLive(name);
  const pid = lab.running().find((p) => p.name === name)?.pid ?? 0;
  const ticks = startTicks(pid);
  expect(ticks, `${name} does not run`).toBeDefined();
  process.kill(pid, "SIGTERM");
  await expect.poll(() => startTicks(pid) === ticks, { timeout: WITHIN_MS, interval: 20, message: `${name} still runs` }).toBe(false);
  await expect.poll(() => endings(name).length).toBe(1);
  return endings(name);
}

test.for(daemons)("SIGTERM ends %s within 3 s, with code 0", async (name) => {
  expect(await terminate(name)).toEqual(["exit 0"]);
});

test("SIGTERM ends every daemon, with code 0, while etcd, NATS and the API server hang", async () => {
  for (const name of daemons) await untilLive(name);
  const stores = lab.running().filter((p) => ["etcd", "nats-server", "apiserver"].includes(p.name));
  for (const { pid } of stores) process.kill(pid, "SIGSTOP");
  try {
    const before = new Map(daemons.map((name) => [name, endings(name).length]));
    const pids = new Map(daemons.map((name) => [name, lab.running().find((p) => p.name === name)?.pid ?? 0]));
    const ticks = new Map(daemons.map((name) => [name, startTicks(pids.get(name) ?? 0)]));
    for (const pid of pids.values()) process.kill(pid, "SIGTERM");
    const left = () => daemons.filter((name) => startTicks(pids.get(name) ?? 0) === ticks.get(name));
    await expect.poll(left, { timeout: 2 * WITHIN_MS, interval: 20 }).toEqual([]);
    await expect.poll(() => daemons.filter((name) => endings(name).length === before.get(name))).toEqual([]);
    expect(daemons.map((name) => `${name}: ${endings(name)[before.get(name) ?? 0]}`)).toEqual(daemons.map((name) => `${name}: exit 0`));
  } finally {
    for (const { pid } of stores) process.kill(pid, "SIGCONT");
  }
});
