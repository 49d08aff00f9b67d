import { readFileSync } from "node:fs";
import { Agent, createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

/** How the API server behaves: which one answers, with what error, or that nobody does. */
export type GateMode = { readonly to: number } | { readonly status: number } | "down";

export interface ApiGate extends AsyncDisposable {
  readonly port: number;
  /** Cuts every connection, so that all clients meet the new behaviour at once. */
  set(mode: GateMode): void;
  /** Requests that were answered with an error or not at all since the last `set`. */
  readonly refused: number;
}

/** A door to a Kubernetes API on this machine's loopback, with the lab's own certificate. */
export async function openApiGate(pki: string, first: GateMode): Promise<ApiGate> {
  let mode = first;
  let refused = 0;
  const sockets = new Set<Duplex>();
  const agent = new Agent({ ca: readFileSync(`${pki}/ca.crt`) });
  const server = createServer({ cert: readFileSync(`${pki}/api.crt`), key: readFileSync(`${pki}/api.key`) }, (incoming, answer) => {
    if (mode === "down" || "status" in mode) {
      refused++;
      if (mode === "down") incoming.socket.destroy();
      else answer.writeHead(mode.status, { "content-type": "text/plain" }).end("the gate's own answer");
      return;
    }
    const { method, url, headers } = incoming;
    const onward = request({ host: "127.0.0.1", port: mode.to, method, path: url, headers, agent }, (found) => {
      answer.writeHead(found.statusCode ?? 502, found.headers);
      found.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  });
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get refused() {
      return refused;
    },
    set(next) {
      mode = next;
      refused = 0;
      cut();
    },
    async [Symbol.asyncDispose]() {
      cut();
      agent.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
