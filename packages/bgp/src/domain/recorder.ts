/** The last things that happened to a peer, for people: a ring of short texts. */
import type { Message } from "./codec/message.ts";
import { nameNotification } from "./codec/error.ts";
import type { PeerEffect, PeerEvent } from "./fsm/state.ts";

export type Entry = { readonly at: string; readonly state: string; readonly what: string; readonly did: readonly string[] };

export interface Recorder {
  add(entry: Entry): void;
  entries(): readonly Entry[];
}

export function makeRecorder(size: number): Recorder {
  const ring: Entry[] = [];
  let next = 0;
  return {
    add(entry) {
      ring[next % size] = entry;
      next++;
    },
    entries: () => (next <= size ? [...ring] : [...ring.slice(next % size), ...ring.slice(0, next % size)]),
  };
}

/** An event in a few words; undefined for what happens all the time and says nothing. */
export function describeEvent(event: PeerEvent): string | undefined {
  switch (event.kind) {
    case "messageReceived":
      return event.message.type === "keepalive" ? undefined : `received #${event.conn} ${describeMessage(event.message)}`;
    case "messageBroken":
      return `broken #${event.conn} ${event.error.reason} ${event.error.code.join("/")} ${event.error.disposition}`;
    case "transportOpened":
      return `${event.origin} #${event.conn}`;
    case "transportClosed":
      return `closed #${event.conn} ${event.cause}`;
    case "dialFailed":
      return `dial failed: ${event.cause}`;
    case "timerFired":
      return event.timer === "keepalive" ? undefined : `timer ${event.timer}`;
    case "stopped":
      return `stopped ${event.code.join("/")}`;
    case "started":
      return "started";
  }
}

export function describeMessage(message: Message): string {
  switch (message.type) {
    case "open":
      return `OPEN as ${message.open.as} id ${message.open.routerId} hold ${message.open.holdTimeSec}`;
    case "update": {
      const { reach, unreach, endOfRib } = message.update;
      const sum = (groups: readonly { prefixes: readonly string[] }[]) => groups.reduce((n, group) => n + group.prefixes.length, 0);
      return endOfRib === undefined ? `UPDATE +${sum(reach)} -${sum(unreach)}` : `END-OF-RIB v${endOfRib}`;
    }
    case "notification":
      return `NOTIFICATION ${message.code.join("/")} ${nameNotification(message.code)}`;
    case "routeRefresh":
      return `ROUTE-REFRESH v${message.family ?? "?"}`;
    case "keepalive":
      return "KEEPALIVE";
  }
}

/** An effect in a few words. */
export function describeEffect(effect: PeerEffect): string {
  switch (effect.do) {
    case "send":
      return `send #${effect.conn} ${describeMessage(effect.message)}`;
    case "close":
      return `close #${effect.conn}`;
    case "setTimer":
      return `set ${effect.timer} ${effect.ms / 1000}s`;
    case "clearTimer":
      return `clear ${effect.timer}`;
    case "sessionUp":
      return `session up: as4 ${effect.session.as4} hold ${effect.session.holdTimeSec}s${effect.session.gracefulRestart ? " graceful" : ""}`;
    case "sessionDown":
      return `session down: ${effect.cause}${effect.graceful ? " (graceful)" : ""}`;
    case "takeUpdate":
      return "take update";
    case "resendRoutes":
      return `resend v${effect.family}`;
    case "dial":
      return "dial";
    case "abandonDial":
      return "abandon dial";
  }
}
