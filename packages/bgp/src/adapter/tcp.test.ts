import { expect, test } from "vitest";
import type { Conn } from "../ports.ts";
import { tcpTransport } from "./tcp.ts";
import { serveStatus } from "./status-socket.ts";
import { createServer, connect } from "node:net";
import type { AddressInfo } from "node:net";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function dial(port: number, source?: string): Promise<Conn | string> {
  return new Promise((resolve) => {
    tcpTransport.dial({ address: "127.0.0.1", port, ...(source ? { source } : {}) }, { opened: resolve, failed: resolve });
  });
}

test("tcpTransport: octets that come before anybody listens are not lost, and the end is told", async () => {
  const port = await freePort();
  const accepted = Promise.withResolvers<Conn>();
  const listener = await tcpTransport.listen({ port, address: "127.0.0.1" }, accepted.resolve);
  const dialed = await dial(port, "127.0.0.7");
  if (typeof dialed === "string") return expect.fail(dialed);
  dialed.write(Uint8Array.of(1, 2, 3));
  dialed.close();
  const conn = await accepted.promise;
  expect(conn.remoteAddress).toBe("127.0.0.7");
  const got: number[] = [];
  const cause = await new Promise<string>((closed) => conn.attach({ received: (octets) => got.push(...octets), closed }));
  expect([got, cause]).toEqual([[1, 2, 3], "connection closed by peer"]);
  await listener.close();
});

test("tcpTransport: a refused connection says what to look for", async () => {
  const port = await freePort();
  expect(await dial(port)).toBe(`connection refused: nothing listens on 127.0.0.1 port ${port}, or a firewall rejects it`);
});

test("tcpTransport: a source address that is not here", async () => {
  expect(await dial(await freePort(), "192.0.2.1")).toContain("source address 192.0.2.1 is not on this node");
});

test("tcpTransport: a port that is taken", async () => {
  const port = await freePort();
  const first = await tcpTransport.listen({ port, address: "127.0.0.1" }, () => {});
  await expect(tcpTransport.listen({ port, address: "127.0.0.1" }, () => {})).rejects.toThrow(
    `Cannot listen on 127.0.0.1 port ${port}: another BGP speaker is there`,
  );
  await first.close();
});

test("serveStatus: a line for a line, only for its owner, and a bad one is told", async () => {
  const dir = mkdtempSync(join(tmpdir(), "calico-bgp-status-"));
  const path = join(dir, "run", "bgp.sock");
  const server = await serveStatus(path, (request) => ({ got: request }));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const lines = await new Promise<string>((resolve) => {
    const socket = connect(path, () => socket.write('{"op":"status"}\nnot json\n'));
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.split("\n").length === 3) {
        socket.destroy();
        resolve(text);
      }
    });
  });
  expect(lines.split("\n")[0]).toBe('{"got":{"op":"status"}}');
  expect(lines.split("\n")[1]).toMatch(/^\{"error":/);
  await server[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});
