import { chmodSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";

/** One end of a relay: `unix:/path` or `tcp:host:port`. */
export type Endpoint = { readonly path: string } | { readonly host: string; readonly port: number };

export function parseEndpoint(text: string): Endpoint {
  const unix = /^unix:(\/.+)$/.exec(text);
  if (unix?.[1] !== undefined) return { path: unix[1] };
  const tcp = /^tcp:(.+):(\d{1,5})$/.exec(text);
  if (tcp?.[1] !== undefined && tcp[2] !== undefined) return { host: tcp[1], port: Number(tcp[2]) };
  throw new Error(`Cannot parse endpoint "${text}": expected unix:/path or tcp:host:port`);
}

export interface Relay extends AsyncDisposable {
  /** The TCP port listened on, 0 for a unix socket. */
  readonly port: number;
}

/**
 * Pass connections on, byte for byte. A path on the file system is seen from every network namespace, so two relays that meet at a
 * unix socket lead from one namespace into another without any kernel object between them.
 */
export async function openRelay(options: { readonly listen: Endpoint; readonly to: Endpoint }): Promise<Relay> {
  const { listen, to } = options;
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = "path" in to ? connect(to.path) : connect(to.port, to.host);
    for (const [a, b] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(a);
      a.once("close", () => {
        open.delete(a);
        b.destroy();
      });
      a.once("error", () => b.destroy()); // either side's end is the other's; both are closed
      a.pipe(b);
    }
  });
  if ("path" in listen) rmSync(listen.path, { force: true });
  await listening(server, listen);
  if ("path" in listen) chmodSync(listen.path, 0o600);
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

function listening(server: Server, at: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    if ("path" in at) server.listen(at.path, resolve);
    else server.listen(at.port, at.host, resolve);
  });
}
