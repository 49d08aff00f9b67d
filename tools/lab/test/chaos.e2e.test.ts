import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec, inNetns } from "../src/adapter/exec.ts";
import { bringUpDemo } from "../src/demo/demo.ts";
import { connectivityChecks, runCheck } from "../src/demo/checks.ts";
import { storeProcesses, apiProcesses, controlProcesses, nodeProcesses } from "../src/domain/processes.ts";
import { planTopology } from "../src/domain/topology.ts";
import type { Lab } from "../src/service/lab.ts";

/**
 * Any one process of a running cluster is killed. A connection that was open goes on, and within ten seconds the matrix is green and a
 * change of policy arrives.
 */
const WITHIN_MS = 10_000;
const id = `e2e-${process.pid}`;
const topology = planTopology(id);
const everyProcess = [
  ...storeProcesses(topology),
  ...apiProcesses(topology),
  ...controlProcesses(topology, { ownApi: true, ownControllers: true }),
  ...topology.nodes.slice(0, 1).flatMap((n) => nodeProcesses(topology, n)),
]
  .map(({ name }) => name)
  .filter((name) => name !== "outside-web");

let lab: Lab;
let server: ChildProcess;
let talker: ChildProcess;
let heard = 0;
let talkerEnded: string | undefined;

beforeAll(async () => {
  lab = await bringUpDemo({ id, encap: "auto", signal: new AbortController().signal });
  const script = new URL("./echo.mjs", import.meta.url).pathname;
  const inPod = (pod: string, ...argv: string[]) => {
    const [file = "", ...args] = inNetns(lab.pod(`default/${pod}`)?.netns, [process.execPath, script, ...argv]);
    return spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  };
  server = inPod("web-2", "serve", "7777");
  const ip = lab.pod("default/web-2")?.ips[0] ?? "";
  // The echo server needs a moment to listen: the talker is started again until its first answer came.
  for (let tries = 0; heard === 0 && tries < 50; tries++) {
    talker = inPod("client-1", "talk", ip, "7777");
    await firstAnswer(talker);
  }
}, 120_000);

/** Resolves when the talker was answered, or ended. From then on what it hears is counted, and its end noted. */
function firstAnswer(mine: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    mine.once("exit", (code) => {
      if (heard > 0) talkerEnded = `exit ${code}`;
      resolve();
    });
    mine.stdout?.on("data", (d: Buffer) => {
      heard = Number(d.toString().trim().split("\n").at(-1));
      resolve();
    });
  });
}

afterAll(async () => {
  talker?.kill("SIGKILL");
  server?.kill("SIGKILL");
  await lab?.[Symbol.asyncDispose]();
}, 60_000);

async function expectGreen(deadline: number): Promise<void> {
  const left = () => Math.max(0, deadline - performance.now());
  await label("access=granted", left);
  const checks = connectivityChecks(lab);
  const denied = checks.find((c) => c.name === "policy denies");
  if (denied === undefined) throw new Error("the matrix has no denied line");
  expect(await runCheck({ ...denied, want: "allowed", answer: /pod=db/ }, left())).toMatchObject({ ok: true });
  await label("access-", left);
  for (const check of checks) {
    const { ok, got } = await runCheck(check, left());
    expect(`${check.name}: ${ok ? "holds" : got}`).toBe(`${check.name}: holds`);
  }
}

async function label(change: string, left: () => number): Promise<void> {
  for (;;) {
    const ran = await lab.kubectl(["label", "--overwrite", "pod", "client-1", change]);
    if (ran.code === 0) return;
    if (left() === 0) throw new Error(`Cannot label client-1 ${change}: ${ran.stderr}`);
  }
}

async function expectConnectionAlive(): Promise<void> {
  const before = heard;
  await expect.poll(() => heard, { timeout: 5000 }).toBeGreaterThan(before);
  expect(talkerEnded).toBeUndefined();
}

test("the matrix holds before anything is killed", async () => {
  await expectGreen(performance.now() + WITHIN_MS);
});

test.for(everyProcess)("kill -9 %s: open connections go on, the matrix is green again within 10 s", async (name) => {
  const victim = lab.running().find((p) => p.name === name);
  if (victim === undefined) throw new Error(`${name} does not run`);
  process.kill(victim.pid, "SIGKILL");
  const deadline = performance.now() + WITHIN_MS;
  await expect
    .poll(() => lab.running().find((p) => p.name === name)?.pid ?? victim.pid, { timeout: WITHIN_MS, interval: 20 })
    .not.toBe(victim.pid);
  await expectGreen(deadline);
  await expectConnectionAlive();
});

test("kill -9 a pod's process: the kubelet starts it again with its address", async () => {
  const before = lab.pod("default/web-1");
  const pid = before?.processes[0]?.pid;
  if (before === undefined || pid === undefined) throw new Error("web-1 does not run");
  process.kill(pid, "SIGKILL");
  const deadline = performance.now() + WITHIN_MS;
  await expect.poll(() => lab.pod("default/web-1")?.processes[0]?.pid, { timeout: WITHIN_MS }).not.toBe(pid);
  await expectGreen(deadline);
  expect(lab.pod("default/web-1")?.ips).toEqual(before.ips);
});

test("a pod that is deleted leaves nothing: no namespace, no address, no endpoint, no chain, no route", async () => {
  const pod = lab.pod("default/client-2");
  const ip = pod?.ips[0] ?? "";
  expect((await lab.kubectl(["delete", "pod", "client-2"])).code).toBe(0);
  expect(lab.pod("default/client-2")).toBeUndefined();
  expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(`/run/netns/${pod?.netns}`);
  expect((await lab.calicoctl(["get", "workloadendpoints", "-o", "json"])).stdout).not.toContain(`"${ip}/32"`);
  expect((await lab.calicoctl(["ipam", "show", `--ip=${ip}`])).stdout).toContain("is not assigned");
  const kernel = async () =>
    (await exec(["sh", "-c", "ip route; ipset list; iptables-save"], { netns: topology.nodes[1]?.netns ?? "" })).stdout;
  await expect.poll(kernel, { timeout: 5000 }).not.toContain(`${ip} `);
});
