import { copyFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openEtcd } from "../src/mod.ts";
import { makeTestPki, startEtcd, type TestCertificate } from "../src/testing.ts";

const pki = makeTestPki();
const server = pki.issue("etcd");
const mine = pki.issue("client");
const etcd = await startEtcd({ tls: server });
afterAll(async () => {
  await etcd.stop();
  pki[Symbol.dispose]();
});

const open = (c: TestCertificate) =>
  openEtcd({ endpoints: etcd.endpoints, tls: { caFile: c.ca, certFile: c.cert, keyFile: c.key }, timeoutMs: 2500 });

test("etcd with TLS: a client certificate lets in", async () => {
  await using store = open(mine);
  await store.put("/a", "1");
  expect((await store.get("/a"))?.value).toBe("1");
});

test("etcd with TLS: an authority that did not issue etcd's certificate is named", async () => {
  using other = makeTestPki("other");
  await using store = open({ ...mine, ca: other.ca });
  await expect(store.get("/a")).rejects.toThrow(/Cannot read \/a: etcd's certificate was not issued by the authority in --etcd-ca/);
});

test("etcd with TLS: a certificate of the right authority for another host is refused", async () => {
  const [endpoint = ""] = etcd.endpoints;
  const port = Number(new URL(endpoint).port);
  const relay = createServer(
    (socket) =>
      void socket
        .pipe(connect(port, "127.0.0.1"))
        .on("error", () => socket.destroy())
        .pipe(socket)
        .on("error", () => {}),
  );
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.2", resolve));
  const { port: relayed } = relay.address() as AddressInfo;
  await using store = openEtcd({
    endpoints: [`https://127.0.0.2:${relayed}`],
    tls: { caFile: mine.ca, certFile: mine.cert, keyFile: mine.key },
    timeoutMs: 2000,
  });
  await expect(store.get("/a")).rejects.toThrow(/Cannot read \/a: etcd's certificate is not for the name or address in --etcd/);
  relay.close();
});

test("etcd with TLS: no certificate, or one by another authority, is refused", async () => {
  using other = makeTestPki("other");
  const foreign = other.issue("client");
  await using none = openEtcd({ endpoints: etcd.endpoints, tls: { caFile: pki.ca }, timeoutMs: 2500 });
  await expect(none.get("/a")).rejects.toThrow(/Cannot read \/a: .*--etcd-cert/);
  await using wrong = open({ ...foreign, ca: pki.ca });
  await expect(wrong.get("/a")).rejects.toThrow(/Cannot read \/a: .*--etcd-cert/);
});

test("etcd with TLS: certificates are replaced on both sides while the client goes on", async () => {
  const at = (file: string) => join(pki.dir, file);
  const live = { ca: at("live-ca"), cert: at("live-cert"), key: at("live-key") };
  const install = (c: TestCertificate) => (copyFileSync(c.ca, live.ca), copyFileSync(c.cert, live.cert), copyFileSync(c.key, live.key));
  install(mine);
  await using store = open(live);
  await store.put("/rotate", "before");
  const abort = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    for await (const e of store.watch("/rotate", { fromRevision: 1, signal: abort.signal })) if (e.kind === "put") seen.push(e.value);
  })();

  using next = makeTestPki("next"); // another authority altogether
  const nextServer = next.issue("etcd");
  await etcd.kill();
  copyFileSync(nextServer.ca, server.ca);
  copyFileSync(nextServer.cert, server.cert);
  copyFileSync(nextServer.key, server.key);
  await etcd.restart();
  install(next.issue("client"));

  await expect
    .poll(
      () =>
        store.put("/rotate", "after").then(
          () => true,
          () => false,
        ),
      { timeout: 10_000 },
    )
    .toBe(true);
  await expect.poll(() => seen, { timeout: 10_000 }).toContain("after");
  expect(seen[0]).toBe("before");
  abort.abort();
  await watching;
});
