/** proxy-nat as it is run: its own process on both runtimes, events from a real etcd by way of the syncer and nats-server. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { openIptables, run } from "@calico/linux";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { aService, aSlice } from "../src/testing.ts";
import { makeNetwork, type Network } from "./e2e/network.ts";

const RUN = fileURLToPath(new URL("../../../setup/run.sh", import.meta.url));
const HEALTH_PORT = 9101;

let network: Network;
let plane: ChildProcess;
let nats = "";
const children: ChildProcess[] = [];

function start(command: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn("nsenter", [`--net=${network.node.netns}`, "--", ...command], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, LOG_LEVEL: "warn", ...env },
  });
  children.push(child);
  return child;
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const gone = once(child, "exit");
  child.kill(signal);
  const [code] = (await gone) as [number | null];
  return code;
}

/** Put an object into etcd; resolves when it is there. */
async function put(...events: readonly { readonly key: string; readonly value: unknown }[]): Promise<void> {
  for (const { key, value } of events) {
    const answered = once(lines, "line");
    plane.stdin?.write(`${JSON.stringify({ key, value })}\n`);
    await answered;
  }
}
let lines: ReturnType<typeof createInterface>;

beforeAll(async () => {
  network = await makeNetwork({ client: "192.200.0.10", a: "192.200.0.1" });
  plane = start([process.execPath, fileURLToPath(new URL("./e2e/control-plane.ts", import.meta.url))]);
  lines = createInterface({ input: plane.stdout ?? process.stdin });
  const [ready] = (await once(lines, "line")) as [string];
  nats = (JSON.parse(ready) as { nats: string[] }).nats.join(",");
  await network.pods["a"]?.ask({ do: "serve", name: "a", ip: "192.200.0.1", port: 8080 });
});
afterAll(async () => {
  plane.stdin?.end();
  await once(plane, "exit");
  for (const child of children) await stop(child, "SIGKILL");
  await network[Symbol.asyncDispose]();
});

async function health(path: string): Promise<string> {
  const script = `fetch("http://127.0.0.1:${HEALTH_PORT}${path}").then((r) => r.text().then((t) => console.log(r.status, t)), (e) => console.log("0", e.cause?.code))`;
  return (await run([process.execPath, "-e", script], { netnsPath: network.node.netns })).stdout;
}

describe.each(["deno", "node"] as const)("on %s", (runtime) => {
  test("from etcd to the kernel; ready when in sync; SIGTERM leaves the rules", async () => {
    await put(aService("default/web", { ip: "10.96.0.20" }), aSlice("default/web", { endpoints: ["192.200.0.1"], ports: ["8080/TCP"] }));
    const daemon = start(
      [
        "bash",
        RUN,
        "packages/proxy-nat/src/main.ts",
        "--node",
        "n1",
        "--nats",
        nats,
        "--cluster-cidr",
        "192.200.0.0/16",
        "--iptables-backend",
        "nft",
      ],
      {
        CALICO_RUNTIME: runtime,
      },
    );
    await vi.waitUntil(async () => (await health("/readiness")).startsWith("200"), { timeout: 20_000, interval: 100 });
    const ask = (key: string) => network.pods["client"]?.ask({ do: "open", key, ip: "10.96.0.20", port: 80 });
    expect(await ask(`${runtime}1`)).toEqual({ reply: "a 192.200.0.10" });
    const name = `default/${runtime}`;
    await put(aService(name, { ip: runtime === "deno" ? "10.96.0.21" : "10.96.0.22" }));
    const tables = openIptables({ backend: "nft", netnsPath: network.node.netns });
    await vi.waitUntil(async () => (await tables.save("filter")).includes(`${name}"`), { timeout: 10_000 });
    const metrics = await health("/metrics");
    expect(metrics).toMatch(/calinat_services \d/);
    console.log(`proxy-nat on ${runtime}: ${Number(/process_resident_memory_bytes (\d+)/.exec(metrics)?.[1]) >> 20} MB resident`);
    expect(await stop(daemon, "SIGTERM")).toBe(0);
    expect(await ask(`${runtime}2`)).toEqual({ reply: "a 192.200.0.10" });
  });
});
