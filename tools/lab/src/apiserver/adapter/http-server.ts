/** Sockets: node:http(s) in front of the API. Bodies are bounded, watches are written with back-pressure and end when the client leaves. */
import { Buffer } from "node:buffer";
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttps } from "node:https";
import type { Logger } from "@calico/daemon";
import { ApiError, type Status, tooLarge, unauthorized } from "../domain/api-error.ts";
import { type ApiAnswer, type ApiRequest, HEALTH_PATHS } from "../service/api.ts";
import type { Authenticate } from "./tokens.ts";

const MAX_BODY_OCTETS = 3 * 1024 * 1024;

export interface ServerOptions {
  readonly host: string;
  readonly port: number;
  /** PEM. Without it the server speaks plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly authenticate: Authenticate;
  readonly handle: (request: ApiRequest) => Promise<ApiAnswer>;
  readonly log: Logger;
}

export interface ApiServer extends AsyncDisposable {
  readonly port: number;
}

export async function serveApi(options: ServerOptions): Promise<ApiServer> {
  const listener = (request: IncomingMessage, response: ServerResponse) => void answer(request, response, options);
  const server: Server = options.tls === undefined ? createHttp(listener) : createHttps({ ...options.tls }, listener);
  server.keepAliveTimeout = 120_000;
  server.headersTimeout = 125_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new Error(`Cannot listen on ${options.host}:${options.port}; is another API server running there?`, { cause })),
    );
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : options.port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, options: ServerOptions): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort(new Error("the client went away")));
  response.on("error", (error) => gone.abort(error));
  const url = new URL(request.url ?? "/", "http://server");
  try {
    if (!HEALTH_PATHS.includes(url.pathname) && !options.authenticate(request.headers.authorization)) throw unauthorized();
    const result = await options.handle({
      method: request.method ?? "GET",
      path: url.pathname,
      query: url.searchParams,
      accept: request.headers.accept,
      contentType: request.headers["content-type"],
      body: request.method === "GET" ? "" : await readBody(request),
      signal: gone.signal,
    });
    await send(response, result, gone.signal);
  } catch (error) {
    if (gone.signal.aborted) return;
    if (!(error instanceof ApiError)) options.log.error("request failed", { method: request.method, path: url.pathname, error });
    fail(response, error);
  }
}

async function send(response: ServerResponse, result: ApiAnswer, signal: AbortSignal): Promise<void> {
  if (result.kind === "json") return write(response, result.code, "application/json", JSON.stringify(result.body));
  if (result.kind === "raw") return write(response, result.code, result.type, result.body);
  response.writeHead(200, { "content-type": "application/json", "cache-control": "no-cache, private" });
  response.flushHeaders();
  for await (const event of result.events) {
    if (signal.aborted) return;
    if (!response.write(`${JSON.stringify(event)}\n`)) await drained(response, signal);
  }
  response.end();
}

function write(response: ServerResponse, code: number, type: string, body: string): void {
  response
    .writeHead(code, { "content-type": type, "content-length": Buffer.byteLength(body), "cache-control": "no-cache, private" })
    .end(body);
}

/** After the head is sent, nothing can be said any more but by cutting the stream. */
function fail(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const status: Status = error instanceof ApiError ? error.status : unexpected(error).status;
  if (status.code === 413) response.setHeader("connection", "close");
  write(response, status.code, "application/json", JSON.stringify(status));
}

/** etcd away is 503, so that clients try again; anything else is a bug of ours. */
function unexpected(error: unknown): ApiError {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof Error && error.name === "StoreUnavailable")
    return new ApiError(503, "ServiceUnavailable", message, { retryAfterSeconds: 1 });
  return new ApiError(500, "InternalError", `Internal error occurred: ${message}`);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let octets = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    octets += chunk.length;
    if (octets > MAX_BODY_OCTETS) throw tooLarge(MAX_BODY_OCTETS);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.removeListener("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    response.once("drain", done);
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted) done();
  });
}
