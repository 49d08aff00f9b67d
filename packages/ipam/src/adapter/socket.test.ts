import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectUnix, listenUnix, readLines } from "@calico/daemon";
import { makeFakeStore } from "@calico/datastore/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeIpam } from "../service/ipam.ts";
import { answerLine } from "../service/serve.ts";
import { putPool } from "../testing.ts";
import { openIpamClient } from "./socket-client.ts";

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "ipam-socket-"));
  path = join(dir, "ipam.sock");
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function serve() {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/28", blockSize: 30 });
  const ipam = makeIpam({ store });
  const options = { ipamOf: () => ipam, defaultTarget: { endpoints: ["http://x"] }, onServed: () => {}, now: () => 0 };
  const server = await listenUnix(path, (socket) =>
    readLines(socket, (line) => void answerLine(line, options).then((a) => socket.write(a))),
  );
  return { store, server };
}

const noFallback = () => Promise.reject(new Error("the library was used"));

test("socket: only its owner may connect; results, refusals, faults and bigints come through", async () => {
  const { store, server } = await serve();
  await using client = openIpamClient({ socketPath: path, fallback: noFallback });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await client.assignIp({ node: "n1", ip: "10.0.0.1", handle: "h" })).toEqual({ ok: true, value: { address: "10.0.0.1/32" } });
  const owner = await client.ownerOf("10.0.0.1");
  expect(owner.ok && typeof owner.value.sequence).toBe("bigint");
  expect(await client.assignIp({ node: "n1", ip: "10.0.0.1", handle: "i" })).toMatchObject({ ok: false, error: { kind: "taken" } });
  store.failNext({ when: "before" });
  await expect(client.releaseByHandle("h")).rejects.toMatchObject({ name: "StoreUnavailable" });
  await server[Symbol.asyncDispose]();
});

test("socket: without a service the library does it; with one again, the service", async () => {
  const store = makeFakeStore();
  await putPool(store, "p", { cidr: "10.0.0.0/28", blockSize: 30 });
  await using client = openIpamClient({ socketPath: path, fallback: () => makeIpam({ store }) });
  expect((await client.autoAssign({ node: "n1", num4: 1, num6: 0, handle: "h" })).ok).toBe(true);
  const { server } = await serve();
  expect(await client.ipsByHandle("h")).toMatchObject({ ok: false, error: { kind: "notFound" } });
  await server[Symbol.asyncDispose]();
});

test("socket: a service that dies while it is asked is an unknown outcome, not a hang", async () => {
  const server = await listenUnix(path, (socket) => void socket.once("data", () => socket.destroy()));
  await using client = openIpamClient({ socketPath: path, fallback: noFallback });
  await expect(client.utilization()).rejects.toMatchObject({ name: "StoreUnavailable", outcome: "unknown" });
  await server[Symbol.asyncDispose]();
});

test.for(["", "{", '{"id":1,"op":"rm","args":[]}', '{"id":1,"op":"autoAssign"}'])("socket: %j is answered with a fault", async (line) => {
  const { server } = await serve();
  const socket = await connectUnix(path);
  const answer = await new Promise<string>((resolve) => {
    readLines(socket!, resolve);
    socket?.write(`${line}\n`);
  });
  expect(JSON.parse(answer).fault.message).toMatch(/Cannot understand the request/);
  socket?.destroy();
  await server[Symbol.asyncDispose]();
});
