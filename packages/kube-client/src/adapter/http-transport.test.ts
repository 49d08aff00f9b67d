import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { KubeConnectionError } from "../domain/kube-error.ts";
import { openHttpTransport } from "./http-transport.ts";

const open: Server[] = [];
afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(handler: RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer(handler);
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const config = (server: string) => ({ server, namespace: "default", insecureSkipTlsVerify: false, token: () => "secret" });
const never = new AbortController().signal;

async function drain(lines: AsyncIterable<string>): Promise<string> {
  const got: string[] = [];
  try {
    for await (const line of lines) got.push(line);
    got.push("end");
  } catch (e) {
    got.push(e instanceof Error ? `error: ${e.message}` : String(e));
  }
  return got.join("|");
}

test("request: token, body and answer; one connection for many", async () => {
  const seen: string[] = [];
  const ports = new Set<number | undefined>();
  const { url } = await serve((request, response) => {
    ports.add(request.socket.remotePort);
    let body = "";
    request.on("data", (c) => (body += c));
    request.on("end", () => {
      seen.push(`${request.method} ${request.url} ${request.headers.authorization} ${body}`);
      response.end('{"multi":\n"line"}');
    });
  });
  const transport = openHttpTransport(config(`${url}/base/`));
  for (let i = 0; i < 3; i++)
    expect(await transport.request({ method: "POST", path: "/x?y=1", body: "{}" })).toEqual({ status: 200, body: '{"multi":\n"line"}' });
  expect(seen[0]).toBe("POST /base/x?y=1 Bearer secret {}");
  expect(ports.size).toBe(1);
  transport.close();
});

test("stream: lines across chunks, then the end", async () => {
  const { url } = await serve((_request, response) => {
    response.write("a\nb");
    setImmediate(() => response.end("c\nd"));
  });
  const stream = await openHttpTransport(config(url)).stream({ method: "GET", path: "/", idleMs: 5000, signal: never });
  expect(await drain(stream.lines)).toBe("a|bc|d|end");
});

test("stream: a connection that breaks is an error, not an end", async () => {
  const { url } = await serve((_request, response) => {
    response.write("a\n");
    setImmediate(() => response.socket?.destroy());
  });
  const stream = await openHttpTransport(config(url)).stream({ method: "GET", path: "/", idleMs: 5000, signal: never });
  expect(await drain(stream.lines)).toMatch(/^a\|error: /);
});

test("stream: a server that says nothing is given up after idleMs", async () => {
  const { url } = await serve((_request, response) => void response.write("a\n"));
  const stream = await openHttpTransport(config(url)).stream({ method: "GET", path: "/", idleMs: 50, signal: never });
  expect(await drain(stream.lines)).toBe("a|error: nothing received for 50 ms");
});

test("stream: the signal ends it, and the server's side too", async () => {
  const abort = new AbortController();
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const { url } = await serve((_request, response) => {
    response.on("close", resolve);
    response.write("a\n");
  });
  const stream = await openHttpTransport(config(url)).stream({ method: "GET", path: "/", idleMs: 5000, signal: abort.signal });
  const got = drain(stream.lines);
  abort.abort(new Error("stop"));
  expect(await got).toMatch(/error: stop$/);
  await closed;
});

test("request: no server, no answer in time", async () => {
  const { server, url } = await serve(() => {});
  const transport = openHttpTransport(config(url), { timeoutMs: 50 });
  await expect(transport.request({ method: "GET", path: "/" })).rejects.toThrow("Cannot GET /: no answer within 50 ms");
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await expect(transport.request({ method: "GET", path: "/" })).rejects.toBeInstanceOf(KubeConnectionError);
});
