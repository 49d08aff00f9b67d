/** A syncer between an etcd and a NATS that take connections and say nothing. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterAll, expect, test } from "vitest";

const WITHIN_MS = 4000;
const sockets: Socket[] = [];
const mute = createServer((socket) => {
  sockets.push(socket);
  socket.on("error", () => {});
});
await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
afterAll(() => {
  for (const socket of sockets) socket.destroy();
  mute.close();
});

test("SIGTERM ends a syncer that stands for election while nobody answers", async () => {
  const at = `127.0.0.1:${(mute.address() as AddressInfo).port}`;
  const args = ["setup/run.sh", "packages/bus/src/main.ts", "--etcd", `http://${at}`, "--nats", `nats://${at}`];
  const child = spawn("bash", [...args, "--node", "one", "--health-port", "-1"], { stdio: "ignore" });
  const ended = once(child, "exit");
  try {
    await expect.poll(() => sockets.length, { timeout: 20_000 }).toBeGreaterThan(1);
    child.kill("SIGTERM");
    await expect.poll(() => child.exitCode ?? child.signalCode, { timeout: WITHIN_MS, interval: 20 }).toBe(0);
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
});
