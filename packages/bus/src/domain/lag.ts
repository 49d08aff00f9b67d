/** How far a reader is behind the store, from the leader's heartbeats. Times are of the reader's own clock. */
export interface Lag {
  /** The leader said that the store is at `revision`. */
  beat(revision: number, nowMs: number): void;
  /** The reader has everything up to `revision`. */
  reached(revision: number, nowMs: number): void;
  /** The reader knows from elsewhere that nothing is missing. */
  current(nowMs: number): void;
  /** A session starts over and counts from its own revisions; the store may have been reset. */
  restart(): void;
  /** Undefined before the first heartbeat. */
  readonly behindRevisions: number | undefined;
  /** Milliseconds since it was last known that nothing was missing; counts from the start of the reader. */
  lagMs(nowMs: number): number;
  /** For how long heartbeats have come without a pause; 0 when the last one is too old. */
  steadyMs(nowMs: number): number;
  heartbeatAgeMs(nowMs: number): number | undefined;
}

/** Heartbeats come each second; three that are missing are a pause. */
const PAUSE_MS = 3500;

export function makeLag(startedMs: number): Lag {
  let beat: { readonly revision: number; readonly atMs: number } | undefined;
  let steadySince = startedMs;
  let reached = 0;
  let currentAt = startedMs;
  return {
    beat(revision, nowMs) {
      if (beat === undefined || nowMs - beat.atMs > PAUSE_MS) steadySince = nowMs;
      beat = { revision, atMs: nowMs };
      if (reached >= revision) currentAt = nowMs;
    },
    reached(revision, nowMs) {
      reached = Math.max(reached, revision);
      if (beat !== undefined && reached >= beat.revision) currentAt = Math.max(currentAt, Math.min(beat.atMs, nowMs));
    },
    current(nowMs) {
      currentAt = nowMs;
    },
    restart() {
      reached = 0;
    },
    get behindRevisions() {
      return beat && Math.max(0, beat.revision - reached);
    },
    lagMs: (nowMs) => Math.max(0, nowMs - currentAt),
    steadyMs: (nowMs) => (beat === undefined || nowMs - beat.atMs > PAUSE_MS ? 0 : nowMs - steadySince),
    heartbeatAgeMs: (nowMs) => beat && nowMs - beat.atMs,
  };
}
