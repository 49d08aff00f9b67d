import { createServer, type Server } from "node:http";
import type { Metrics } from "./metrics.ts";

/** What a daemon says of itself. `detail` is for the person who reads it: which part is late, since when. */
export interface HealthReport {
  readonly live: boolean;
  readonly ready: boolean;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface HealthServer extends AsyncDisposable {
  /** The port that is listened on; of use when 0 was asked for. */
  readonly port: number;
}

/**
 * Serve `/liveness`, `/readiness` (200 or 503, JSON body) and `/metrics` on loopback. Port -1 serves nothing.
 *
 * Plain node:http: three fixed paths need no router in a process whose memory is counted.
 */
export async function serveHealth(options: {
  readonly port: number;
  readonly host?: string;
  readonly metrics?: Metrics;
  readonly health: () => HealthReport;
}): Promise<HealthServer> {
  if (options.port < 0) return { port: -1, [Symbol.asyncDispose]: async () => {} };
  const server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string) => response.writeHead(status, { "content-type": type }).end(body);
    const { live, ready, detail } = options.health();
    const report = (good: boolean) => answer(good ? 200 : 503, "application/json", `${JSON.stringify({ live, ready, detail })}\n`);
    if (request.url === "/liveness") report(live);
    else if (request.url === "/readiness") report(ready);
    else if (request.url === "/metrics" && options.metrics !== undefined)
      options.metrics.print().then(
        (text) => answer(200, "text/plain; version=0.0.4", text),
        (error: unknown) => answer(500, "text/plain", String(error)),
      );
    else answer(404, "text/plain", "paths: /liveness /readiness /metrics\n");
  });
  await listen(server, options.port, options.host ?? "127.0.0.1");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : options.port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new Error(`Cannot serve health on ${host}:${port}; choose another with --health-port, or -1 for none`, { cause })),
    );
    server.listen(port, host, resolve);
  });
}
