import type { Clock, Conn, ConnHandlers, Transport } from "../ports.ts";

/** Connections in memory, by address and port; one millisecond each way. */
export interface FakeNetwork {
  /** The transport of a host that has this address. */
  host(address: string): Transport;
  /** The host is gone without a word: its connections hang, dials to it are not answered. */
  cut(address: string): void;
  /** The host's processes died: its connections end, its listeners are gone. */
  kill(address: string): void;
  restore(address: string): void;
}

const DELAY_MS = 1;

type End = { readonly address: string; handlers?: ConnHandlers; early: Uint8Array[]; open: boolean; ended?: string };

export function makeFakeNetwork(clock: Clock): FakeNetwork {
  const listeners = new Map<string, { readonly address: string; readonly accepted: (conn: Conn) => void }>();
  const pairs = new Set<readonly [End, End]>();
  const cut = new Set<string>();

  function reachable(a: string, b: string): boolean {
    return !cut.has(a) && !cut.has(b);
  }

  function finish(end: End, cause: string): void {
    if (!end.open) return;
    end.open = false;
    end.ended = cause;
    end.handlers?.closed(cause);
  }

  function deliver(end: End, octets: Uint8Array): void {
    if (!end.open) return;
    if (end.handlers === undefined) end.early.push(octets);
    else end.handlers.received(octets);
  }

  function connOf(own: End, other: End): Conn {
    const later = (action: () => void) => clock.after(DELAY_MS, () => void (reachable(own.address, other.address) && action()));
    return {
      localAddress: own.address,
      remoteAddress: other.address,
      write: (octets) => void (own.open && later(() => deliver(other, octets))),
      close() {
        if (!own.open) return;
        own.open = false;
        later(() => finish(other, "connection closed by peer"));
      },
      attach(handlers) {
        own.handlers = handlers;
        for (const octets of own.early.splice(0)) handlers.received(octets);
        if (own.ended !== undefined) handlers.closed(own.ended);
      },
    };
  }

  return {
    host: (address) => ({
      dial(target, on) {
        let abandoned = false;
        clock.after(DELAY_MS, () => {
          if (abandoned || !reachable(address, target.address)) return;
          const listener = listeners.get(`${target.address}:${target.port}`);
          if (listener === undefined) return on.failed("connection refused");
          const [mine, theirs]: [End, End] = [
            { address, early: [], open: true },
            { address: target.address, early: [], open: true },
          ];
          pairs.add([mine, theirs]);
          listener.accepted(connOf(theirs, mine));
          on.opened(connOf(mine, theirs));
        });
        return () => {
          abandoned = true;
        };
      },
      async listen(where, accepted) {
        const key = `${address}:${where.port}`;
        if (listeners.has(key)) throw new Error(`Cannot listen on ${key}: another speaker is there`);
        listeners.set(key, { address, accepted });
        return { close: async () => void listeners.delete(key) };
      },
    }),
    cut: (address) => void cut.add(address),
    kill(address) {
      for (const [key, listener] of listeners) if (listener.address === address) listeners.delete(key);
      for (const [a, b] of pairs) {
        const [own, other] = a.address === address ? [a, b] : [b, a];
        if (own.address !== address) continue;
        own.open = false;
        finish(other, "connection closed by peer");
      }
    },
    restore: (address) => void cut.delete(address),
  };
}
