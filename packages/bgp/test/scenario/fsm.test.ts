/**
 * Transcripts of the peer machine: a command, `----`, the state after it and the effects. `UPDATE=1` writes what the
 * machine says into the files, to be reviewed as prose.
 *
 * Commands: config KEY=VALUE… · start · stop · dialed N · accepted N · dialfailed · closed N · timer NAME ·
 * open N [as=] [id=] [hold=] [gr=SEC] [restarted] · keepalive N · update N · notification N CODE/SUB · broken N REASON
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { expect, test } from "vitest";
import { BAD_MESSAGE_LENGTH, CEASE_ADMINISTRATIVE_SHUTDOWN } from "../../src/domain/codec/error.ts";
import type { Message } from "../../src/domain/codec/message.ts";
import { INITIAL_STATE } from "../../src/domain/fsm/state.ts";
import type { PeerConfig, PeerEvent, PeerState, TimerName } from "../../src/domain/fsm/state.ts";
import { step } from "../../src/domain/fsm/step.ts";
import { describeEffect } from "../../src/domain/recorder.ts";

const DIR = join(import.meta.dirname, "fsm");

const CONFIG: PeerConfig = {
  localAs: 64512,
  peerAs: 64512,
  routerId: "10.0.0.1",
  passive: false,
  families: [4],
  holdTimeSec: 90,
  restartTimeSec: 120,
  restarting: false,
};

test.for(readdirSync(DIR).filter((name) => name.endsWith(".txt")))("transcript %s", (name) => {
  const path = join(DIR, name);
  const written = readFileSync(path, "utf8");
  const played = play(written);
  if (process.env["UPDATE"] === "1") writeFileSync(path, played);
  else expect(played).toBe(written);
});

/** The transcript with each answer replaced by the machine's. */
function play(text: string): string {
  let state: PeerState = INITIAL_STATE;
  let config = CONFIG;
  const blocks = text.trimEnd().split("\n\n");
  const out = blocks.map((block) => {
    const command = block.split("\n----")[0] ?? "";
    const line = command
      .split("\n")
      .filter((l) => !l.startsWith("#"))
      .join(" ")
      .trim();
    if (line === "") return command;
    if (line.startsWith("config ")) {
      config = { ...config, ...(Object.fromEntries(line.split(" ").slice(1).map(setting)) as Partial<PeerConfig>) };
      return command;
    }
    const { state: next, effects } = step(state, parseCommand(line), config);
    state = next;
    return [command, "----", describeState(next), ...effects.map((effect) => `  ${describeEffect(effect)}`)].join("\n");
  });
  return `${out.join("\n\n")}\n`;
}

function setting(text: string): [string, unknown] {
  const [key = "", value = ""] = text.split("=");
  return [key, value === "true" ? true : value === "false" ? false : /^\d+$/.test(value) ? Number(value) : value];
}

function describeState(state: PeerState): string {
  const link = "link" in state ? ` #${state.link.conn}` : "";
  const rival = "rival" in state && state.rival ? ` rival #${state.rival.conn}` : "";
  const dialing = "dialing" in state && state.dialing ? " dialing" : "";
  return `${state.at}${link}${rival}${dialing}${state.cause === undefined ? "" : ` (${state.cause})`}`;
}

function parseCommand(line: string): PeerEvent {
  const [verb = "", first = "", ...rest] = line.split(" ");
  const conn = Number(first);
  const received = (message: Message): PeerEvent => ({ kind: "messageReceived", conn, message });
  switch (verb) {
    case "start":
      return { kind: "started" };
    case "stop":
      return { kind: "stopped", code: CEASE_ADMINISTRATIVE_SHUTDOWN };
    case "dialed":
    case "accepted":
      return { kind: "transportOpened", conn, origin: verb };
    case "dialfailed":
      return { kind: "dialFailed", cause: "connection refused" };
    case "closed":
      return { kind: "transportClosed", conn, cause: "connection closed by peer" };
    case "timer":
      return { kind: "timerFired", timer: first as TimerName };
    case "open":
      return received(openMessage(rest));
    case "keepalive":
      return received({ type: "keepalive" });
    case "update":
      return received({ type: "update", update: { unreach: [], reach: [], attributes: {}, endOfRib: 4 } });
    case "refresh":
      return received({ type: "routeRefresh", family: 4 });
    case "notification": {
      const [code = 0, subcode = 0] = (rest[0] ?? "").split("/").map(Number);
      return received({ type: "notification", code: [code, subcode], data: new Uint8Array(0) });
    }
    case "broken":
      return {
        kind: "messageBroken",
        conn,
        error: { reason: "badMessageLength", at: 16, code: BAD_MESSAGE_LENGTH, disposition: "sessionReset" },
      };
    default:
      throw new Error(`unknown command "${line}"`);
  }
}

function openMessage(words: readonly string[]): Message {
  const o = Object.fromEntries(words.map(setting));
  const timeSec = Number(o["gr"] ?? 0);
  const gracefulRestart = { restarted: "restarted" in o, timeSec, families: [{ family: 4 as const, forwarding: true }] };
  const as = Number(o["as"] ?? 64512);
  return {
    type: "open",
    open: {
      as,
      holdTimeSec: Number(o["hold"] ?? 90),
      routerId: String(o["id"] ?? "10.0.0.2"),
      capabilities: { families: [4], routeRefresh: true, as4: as, ...(timeSec > 0 ? { gracefulRestart } : {}) },
    },
  };
}
