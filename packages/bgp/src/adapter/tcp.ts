/** TCP for the speaker, on node:net. The one place that knows the socket errors, and says what they mean to a person. */
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import type { Conn, ConnHandlers, DialTarget, Listener, Transport } from "../ports.ts";

export const tcpTransport: Transport = {
  dial(target, on) {
    const { address, port, source } = target;
    const socket = connect({ host: address, port, ...(source === undefined ? {} : { localAddress: source }) });
    let settled = false;
    socket.once("connect", () => {
      if (settled) return;
      settled = true;
      on.opened(connOf(socket));
    });
    socket.on("error", (error) => {
      if (settled) return;
      settled = true;
      on.failed(explain(error, target));
    });
    return () => {
      if (settled) return;
      settled = true;
      socket.destroy();
    };
  },

  listen({ port, address }, accepted) {
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      accepted(connOf(socket));
    });
    // close() waits for accepted connections too, which live on: the port itself is free at once.
    const listener: Listener = { close: async () => void server.close() };
    return new Promise((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => reject(new Error(explainListen(cause, port, address), { cause })));
      server.listen({ port, host: address ?? "0.0.0.0" }, () => resolve(listener));
    });
  },
};

function connOf(socket: Socket): Conn {
  let handlers: ConnHandlers | undefined;
  let early: Uint8Array[] = [];
  let ended: string | undefined;
  let closedByUs = false;
  let reason = "connection closed by peer";

  function over(cause: string): void {
    if (closedByUs || ended !== undefined) return;
    ended = cause;
    handlers?.closed(cause);
  }

  socket.setNoDelay(true);
  socket.on("data", (chunk: Uint8Array) => {
    if (handlers === undefined) early.push(chunk);
    else handlers.received(chunk);
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    reason = `connection lost: ${error.code ?? error.message}`;
  });
  socket.on("end", () => socket.destroy());
  socket.on("close", () => over(reason));

  return {
    remoteAddress: plainAddress(socket.remoteAddress),
    localAddress: plainAddress(socket.localAddress),
    write: (octets) => {
      if (!socket.destroyed) socket.write(octets);
    },
    close() {
      closedByUs = true;
      if (!socket.destroyed) socket.end(() => socket.destroy());
    },
    attach(to) {
      handlers = to;
      const waiting = early;
      early = [];
      for (const chunk of waiting) to.received(chunk);
      if (ended !== undefined) to.closed(ended);
    },
  };
}

function plainAddress(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:/, "");
}

function explain(error: NodeJS.ErrnoException, { address, port, source }: DialTarget): string {
  switch (error.code) {
    case "ECONNREFUSED":
      return `connection refused: nothing listens on ${address} port ${port}, or a firewall rejects it`;
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return `no route to ${address}: check the node's own routes and addresses`;
    case "ETIMEDOUT":
      return `no answer from ${address} port ${port}: it is down, or a firewall drops TCP ${port}`;
    case "EADDRNOTAVAIL":
      return `source address ${source ?? ""} is not on this node: check spec.bgp.ipv4Address of its Node`;
    case "ECONNRESET":
      return `connection reset by ${address} before it was set up`;
    default:
      return `cannot connect to ${address} port ${port}: ${error.message}`;
  }
}

function explainListen(error: NodeJS.ErrnoException, port: number, address: string | undefined): string {
  const where = `${address ?? "all addresses"} port ${port}`;
  if (error.code === "EADDRINUSE") return `Cannot listen on ${where}: another BGP speaker is there`;
  if (error.code === "EACCES") return `Cannot listen on ${where}: permission denied, needs CAP_NET_BIND_SERVICE`;
  if (error.code === "EADDRNOTAVAIL") return `Cannot listen on ${where}: the address is not on this node`;
  return `Cannot listen on ${where}: ${error.message}`;
}
