import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { NatsConnectionImpl, setTransportFactory, type NatsConnection } from "@nats-io/nats-core/internal";
import type { NodeConnectionOptions } from "@nats-io/transport-node";
import { NodeTransport, nodeResolveHost } from "@nats-io/transport-node/lib/node_transport.js";

type Options = NodeConnectionOptions & {
  /** Why a connection broke or was not made, at the first and at each later one: nats.js itself only says "timeout". */
  readonly onFault: (error: Error) => void;
};

/**
 * nats.js's own `connect`, with sockets whose every error is heard.
 *
 * Its transport (3.4.0) takes all listeners off a socket between its steps; an error that comes just then, such as the server's refusal of
 * our certificate after the handshake, would end the process.
 */
export function connect(options: Options): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new SteadyTransport(), dnsResolveFn: nodeResolveHost });
  return NatsConnectionImpl.connect(options);
}

const HUNG_UP = "the server closed the connection";

class SteadyTransport extends NodeTransport {
  override dial({ hostname, port }: { hostname: string; port: number }): Promise<Socket> {
    return opened(heard(connectTcp(port, hostname)).setNoDelay(true), "connect");
  }

  override async connect(...to: Parameters<NodeTransport["connect"]>): Promise<void> {
    try {
      await super.connect(...to);
    } catch (error) {
      if (error instanceof Error) (to[1] as Partial<Options>).onFault?.(error);
      throw error;
    }
  }

  /** Without the library's empty write before the end: over TLS, Deno never says that it was written. */
  override disconnect(): void {
    void (this as unknown as { _closed(error?: Error, internal?: boolean): Promise<void> })._closed(undefined, false);
  }

  /** The library keeps the socket of a server that took the connection and said nothing. */
  override close(error?: Error): Promise<void> {
    if (!this.connected) this.discard();
    return super.close(error);
  }

  override async startTLS(): Promise<TLSSocket> {
    const files = this.options.tls ? await this.loadClientCerts() : {};
    if (this.socket.destroyed) throw this.socket.errored ?? new Error(HUNG_UP);
    const given = { ...this.options.tls, ...files } as ConnectionOptions;
    return opened(
      heard(connectTls({ socket: this.socket, servername: this.tlsName, rejectUnauthorized: true, ...given })),
      "secureConnect",
    );
  }

  override setupHandlers(): void {
    const { socket } = this;
    const { onFault } = this.options as Partial<Options>; // the factory is the process's: nats.js may connect by itself, too
    super.setupHandlers();
    socket.on("error", (error) => onFault?.(error));
    // It said so when nobody was there to hear it.
    if (socket.errored) socket.emit("error", socket.errored);
    if (socket.destroyed) socket.emit("close");
  }
}

function opened<S extends Socket>(socket: S, event: "connect" | "secureConnect"): Promise<S> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve(socket));
    socket.once("error", reject);
    socket.once("close", () => reject(new Error(HUNG_UP)));
  });
}

/** The socket with a listener for its errors that is put back whenever all are taken off. */
function heard<S extends Socket>(socket: S): S {
  const removeAll = socket.removeAllListeners.bind(socket);
  const ignore = () => {};
  socket.removeAllListeners = (...event) => {
    removeAll(...event);
    return socket.on("error", ignore);
  };
  return socket.on("error", ignore);
}
