/** When a reader leaves a NATS server, when the log, and when it may come back. */
import { type Kind, parseKey } from "@calico/model";
import type { LogEntry } from "../ports.ts";

export interface HomingLimits {
  /** Behind for so long: connect to another NATS server. */
  readonly rehomeMs: number;
  /** Behind for so long: read the store itself, if its address is known. */
  readonly fallBackMs: number;
  /** Heartbeats must have come for so long before the log is trusted again. */
  readonly returnMs: number;
}

export const HOMING_LIMITS: HomingLimits = { rehomeMs: 10_000, fallBackMs: 20_000, returnMs: 5_000 };

export interface HomingView {
  readonly source: "nats" | "etcd";
  readonly hasFallback: boolean;
  readonly connected: boolean;
  readonly lagMs: number;
  /** How long the heartbeats have been steady. */
  readonly steadyMs: number;
  /** A snapshot is still coming in, or the reader itself does not keep up: no other source would be faster. */
  readonly busy: boolean;
  readonly sinceRehomeMs: number;
  readonly mayReturn: boolean;
}

export type HomingDecision = "stay" | "rehome" | "fallBack" | "return";

export function decideHome(v: HomingView, limits: HomingLimits): HomingDecision {
  if (v.source === "etcd") return v.connected && v.mayReturn && v.steadyMs >= limits.returnMs ? "return" : "stay";
  if (v.busy) return "stay";
  if (v.hasFallback && v.lagMs >= limits.fallBackMs) return "fallBack";
  return v.connected && v.lagMs >= limits.rehomeMs && v.sinceRehomeMs >= limits.rehomeMs ? "rehome" : "stay";
}

/** What a reader had when it stopped reading the store. */
export interface ReaderPosition {
  readonly known: ReadonlyMap<string, number>;
  readonly revision: number;
  readonly kinds: ReadonlySet<Kind>;
}

/**
 * Does the log show everything that the reader has? A log whose writer is late would take the reader back in time: old values
 * would be said again, and keys that are gone would come to life.
 */
export function logHasAll(entries: ReadonlyMap<string, LogEntry>, { known, revision, kinds }: ReaderPosition): boolean {
  for (const [key, at] of known) {
    const entry = entries.get(key);
    if (entry === undefined || entry.revision < at) return false;
  }
  for (const { key, op, revision: at } of entries.values()) {
    if (op === "delete" || at > revision || known.has(key)) continue;
    const kind = parseKey(key)?.ref.kind;
    if (kind !== undefined && kinds.has(kind)) return false;
  }
  return true;
}
