/**
 * Events of the kernel's links, addresses and routes. The socket is read without blocking on a timer: every 100 ms when nothing happens
 * (0.7 µs each), every 10 ms while things do. A worker or a parked call would hear sooner, at the price of a thread.
 */
import { decodeAddress } from "../domain/address.ts";
import { decodeLink } from "../domain/link.ts";
import { RTM, RTMGRP } from "../domain/protocol.ts";
import { decodeRoute } from "../domain/route.ts";
import type { ChangesOptions, KernelEvent } from "../ports.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

const AF_UNSPEC = 0;
const IDLE_MS = 100;
const BUSY_MS = 10;
/** How long after an event it stays busy. */
const BUSY_FOR_MS = 2_000;

const GROUPS = {
  links: RTMGRP.link,
  addresses: RTMGRP.addr4 | RTMGRP.addr6,
  routes: RTMGRP.route4 | RTMGRP.route6,
} as const;

export function readChanges(
  open: (groups: number) => NetlinkSocket,
  signal: AbortSignal,
  options: ChangesOptions,
): AsyncIterable<readonly KernelEvent[]> {
  const of = options.of ?? ["links", "addresses", "routes"];
  const socket = open(of.reduce((mask, what) => mask | GROUPS[what], 0));
  // Also for an iterable that nobody iterates.
  signal.addEventListener("abort", () => socket.close(), { once: true });
  return poll(socket, signal);
}

async function* poll(socket: NetlinkSocket, signal: AbortSignal): AsyncGenerator<readonly KernelEvent[]> {
  const names = new Map<number, string>();
  let busyUntil = 0;
  try {
    while (!signal.aborted) {
      const { messages, overrun } = socket.receiveEvents();
      const events: KernelEvent[] = messages.flatMap((message) => decodeEvent(message, socket, names) ?? []);
      if (overrun) events.push({ kind: "overrun" });
      if (events.length > 0) {
        busyUntil = Date.now() + BUSY_FOR_MS;
        yield events;
      } else {
        await pauseUnlessAborted(Date.now() < busyUntil ? BUSY_MS : IDLE_MS, signal);
      }
    }
  } finally {
    socket.close();
  }
}

/** A removed device has no name any more; `names` remembers those that events told. */
function decodeEvent(
  message: { type: number; body: Uint8Array },
  socket: NetlinkSocket,
  names: Map<number, string>,
): KernelEvent | undefined {
  // Bridges tell of their ports with link messages of another family: a port that left is no link that went.
  if ((message.type === RTM.newLink || message.type === RTM.delLink) && message.body[0] !== AF_UNSPEC) return undefined;
  const nameOf = (index: number) => socket.nameOf(index) ?? names.get(index);
  switch (message.type) {
    case RTM.newLink: {
      const link = decodeLink(message.body);
      names.set(link.index, link.name);
      return { kind: "linkChanged", link };
    }
    case RTM.delLink: {
      const { index, name } = decodeLink(message.body);
      names.delete(index);
      return { kind: "linkRemoved", index, name };
    }
    case RTM.newAddr:
    case RTM.delAddr: {
      const address = decodeAddress(message.body, nameOf);
      return address && { kind: message.type === RTM.newAddr ? "addressChanged" : "addressRemoved", address };
    }
    case RTM.newRoute:
    case RTM.delRoute: {
      const route = decodeRoute(message.body, nameOf);
      return route && { kind: message.type === RTM.newRoute ? "routeChanged" : "routeRemoved", route };
    }
    default:
      return undefined;
  }
}

function pauseUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { once: true });
  });
}
