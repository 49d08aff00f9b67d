/**
 * HTTP over node:http and node:https, the same on Node and Deno. Requests share a keep-alive agent; each watch has a connection of its own.
 * A connection that broke is reported by whichever event the runtime raises first ("error", "aborted", "close"), and always ends the exchange.
 */
import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, type AgentOptions, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import { KubeConnectionError } from "../domain/kube-error.ts";
import type { HttpRequest, HttpResponse, Transport } from "../ports.ts";
import { readLines } from "./line-stream.ts";
import type { KubeConfig } from "./load-config.ts";

const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 15_000;

export function openHttpTransport(config: KubeConfig, options: { readonly timeoutMs?: number } = {}): Transport {
  const url = new URL(config.server);
  const tls = url.protocol === "https:";
  const secure = tls ? tlsOptions(config) : {};
  const makeAgent = (keepAlive: boolean) => {
    const common = { keepAlive, keepAliveMsecs: KEEP_ALIVE_MS };
    return tls ? new HttpsAgent({ ...common, ...secure }) : new HttpAgent(common);
  };
  const pooled = makeAgent(true);
  const single = makeAgent(false);
  const prefix = url.pathname.replace(/\/$/, "");
  const start = (request: HttpRequest, agent: HttpAgent | HttpsAgent, accept: string): ClientRequest => {
    const settings: RequestOptions = {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? (tls ? 443 : 80) : Number(url.port),
      method: request.method,
      path: prefix + request.path,
      agent,
      headers: headersOf(request, config, accept),
      ...secure,
    };
    return tls ? httpsRequest(settings) : httpRequest(settings);
  };
  return {
    request: (request) => exchange(start(request, pooled, "application/json"), request, options.timeoutMs ?? REQUEST_TIMEOUT_MS),
    async stream(request) {
      const outgoing = start(request, single, "application/json");
      const response = await responseOf(outgoing, request, options.timeoutMs ?? REQUEST_TIMEOUT_MS);
      const lines = readLines(response, { idleMs: request.idleMs, signal: request.signal, stop: () => outgoing.destroy() });
      return { status: response.statusCode ?? 0, lines };
    },
    close() {
      pooled.destroy();
      single.destroy();
    },
  };
}

type TlsOptions = Pick<AgentOptions, "rejectUnauthorized" | "ca" | "cert" | "key" | "servername" | "checkServerIdentity">;

function tlsOptions(config: KubeConfig): TlsOptions {
  return {
    rejectUnauthorized: !config.insecureSkipTlsVerify,
    ...(config.ca === undefined ? {} : { ca: config.ca }),
    ...(config.cert === undefined ? {} : { cert: config.cert }),
    ...(config.key === undefined ? {} : { key: config.key }),
    ...(config.tlsServerName === undefined ? {} : nameToCheck(config.tlsServerName)),
  };
}

/** An address is no name that TLS can ask for (RFC 6066 §3), yet kubectl takes one: it is held against the certificate alone. */
function nameToCheck(name: string): Pick<AgentOptions, "servername" | "checkServerIdentity"> {
  if (isIP(name) === 0) return { servername: name };
  return { servername: "", checkServerIdentity: (_dialled, certificate) => checkServerIdentity(name, certificate) };
}

function headersOf(request: HttpRequest, config: KubeConfig, accept: string): Record<string, string> {
  const token = config.token?.();
  return {
    accept,
    "user-agent": "calico-ts",
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(request.body === undefined
      ? {}
      : {
          "content-type": request.contentType ?? "application/json",
          "content-length": String(new TextEncoder().encode(request.body).length),
        }),
  };
}

async function exchange(outgoing: ClientRequest, request: HttpRequest, timeoutMs: number): Promise<HttpResponse> {
  const response = await responseOf(outgoing, request, timeoutMs);
  let body = "";
  const lines = readLines(response, { idleMs: timeoutMs, signal: request.signal, stop: () => outgoing.destroy() });
  for await (const line of lines) body += body === "" ? line : `\n${line}`;
  return { status: response.statusCode ?? 0, body };
}

/** Send, and wait for the response's head. */
function responseOf(outgoing: ClientRequest, request: HttpRequest, timeoutMs: number): Promise<IncomingMessage> {
  const what = `${request.method} ${request.path}`;
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => {
      done();
      outgoing.destroy();
      reject(new KubeConnectionError(what, cause));
    };
    const aborted = () => fail(request.signal?.reason ?? "aborted");
    const timer = setTimeout(() => fail(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const done = () => {
      clearTimeout(timer);
      request.signal?.removeEventListener("abort", aborted);
    };
    outgoing.on("error", fail); // stays on: an error after the head also ends the response, but must not be uncaught
    outgoing.once("close", () => fail(new Error("connection closed before an answer")));
    outgoing.once("response", (response) => {
      done();
      resolve(response);
    });
    request.signal?.addEventListener("abort", aborted, { once: true });
    if (request.signal?.aborted === true) aborted();
    else outgoing.end(request.body);
  });
}
