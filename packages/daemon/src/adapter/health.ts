import type { ServerType } from "@hono/node-server";
import type { Hono } from "hono";
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

/** Serve `/liveness`, `/readiness` (200 or 503, JSON body) and `/metrics` on loopback. Port -1 serves nothing. */
export async function serveHealth(options: {
  readonly port: number;
  readonly host?: string;
  readonly metrics?: Metrics;
  readonly health: () => HealthReport;
}): Promise<HealthServer> {
  if (options.port < 0) return { port: -1, [Symbol.asyncDispose]: async () => {} };
  const { Hono } = await import("hono"); // here, so that a program without health does not load it
  const app = new Hono();
  const report = (good: (r: HealthReport) => boolean) => {
    const { live, ready, detail } = options.health();
    return Response.json({ live, ready, detail }, { status: good({ live, ready, detail }) ? 200 : 503 });
  };
  app.get("/liveness", () => report((r) => r.live));
  app.get("/readiness", () => report((r) => r.ready));
  app.get("/metrics", async (c) => c.text((await options.metrics?.print()) ?? "", 200, { "content-type": "text/plain; version=0.0.4" }));
  app.notFound((c) => c.text("paths: /liveness /readiness /metrics\n", 404));
  const { server, port } = await listen(app, options.port, options.host ?? "127.0.0.1");
  return {
    port,
    async [Symbol.asyncDispose]() {
      if ("closeAllConnections" in server) server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

async function listen(app: Hono, port: number, hostname: string): Promise<{ readonly server: ServerType; readonly port: number }> {
  const { serve } = await import("@hono/node-server");
  return await new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, port, hostname, overrideGlobalObjects: false }, (at) => resolve({ server, port: at.port }));
    server.once("error", (cause) =>
      reject(new Error(`Cannot serve health on ${hostname}:${port}; choose another with --health-port, or -1 for none`, { cause })),
    );
  });
}
