import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import { makeTestPki } from "@calico/datastore/testing";
import { afterAll, expect, test } from "vitest";
import { openNats } from "../src/adapter/nats.ts";

const pki = makeTestPki();
const certificate = pki.issue("nats");
afterAll(() => pki[Symbol.dispose]());

/** A server that says what nats-server says first, and then does `next`. */
async function startServer(next: (socket: Socket) => unknown) {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(`INFO ${JSON.stringify({ server_id: "s", version: "2.10.0", max_payload: 1048576, tls_required: true })}\r\n`, () =>
      next(socket),
    );
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`, [Symbol.dispose]: () => void server.close() };
}

/** The first reason that is logged. An error that nobody hears fails the run. */
async function reasonOf(url: string, tls: { caFile: string } | null = { caFile: certificate.ca }): Promise<unknown> {
  const told = Promise.withResolvers<unknown>();
  const log = { debug() {}, info() {}, error() {}, warn: (_: string, fields?: { reason?: unknown }) => told.resolve(fields?.reason) };
  const nats = openNats({ servers: [url], name: "n", log, connection: { ...(tls && { tls }) } });
  const reason = await told.promise;
  await nats.close();
  return reason;
}

test("nats: a server that hangs up while our certificates are read is only a failed try", async () => {
  const ca = join(pki.dir, "slow-ca");
  execFileSync("mkfifo", [ca]);
  const reading = Promise.withResolvers<void>();
  using server = await startServer(async (socket) => {
    await using _slow = await open(ca, "w"); // opens as soon as somebody reads
    socket.resetAndDestroy();
    await setTimeout(50); // until the client has learned of it; too short a time would only pass too easily
    reading.resolve();
  });
  expect(await reasonOf(server.url, { caFile: ca })).toMatch(/the server hung up/);
  await reading.promise;
});

test("nats: a server that wants a certificate says so, and we say it too", async () => {
  const identity = { cert: readFileSync(certificate.cert), key: readFileSync(certificate.key), ca: readFileSync(certificate.ca) };
  using server = await startServer((socket) => {
    const secured = new TLSSocket(socket, { isServer: true, ...identity, requestCert: true, rejectUnauthorized: true });
    secured.on("error", () => {});
  });
  expect(await reasonOf(server.url)).toMatch(/refused this client's certificate; see --nats-cert and --nats-key/);
});

test("nats: a server with TLS, and nothing said of TLS here: the system's authorities are held against it", async () => {
  const identity = { cert: readFileSync(certificate.cert), key: readFileSync(certificate.key) };
  using server = await startServer((socket) => new TLSSocket(socket, { isServer: true, ...identity }).on("error", () => {}));
  expect(await reasonOf(server.url, null)).toMatch(/not issued by the authority in --nats-ca/);
});

test("nats: a server that says nothing costs no socket", async () => {
  let open = 0;
  const mute = createServer((socket) => {
    open++;
    socket.on("error", () => {}).on("close", () => open--);
    socket.resume();
  });
  await once(mute.listen(0, "127.0.0.1"), "listening");
  expect(await reasonOf(`nats://127.0.0.1:${(mute.address() as AddressInfo).port}`)).toBe("timeout");
  await expect.poll(() => open).toBe(0);
  mute.close();
});
