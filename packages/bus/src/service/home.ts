import type { Logger } from "@calico/daemon";
import { decideHome, type HomingLimits, logHasAll, type ReaderPosition } from "../domain/homing.ts";
import type { Lag } from "../domain/lag.ts";
import type { EventSource, LogReader } from "../ports.ts";

export type SourceName = "nats" | "etcd";

/** Which source a feed reads: the log, past the limit the store itself, then the log again. */
export interface Home {
  readonly source: SourceName;
  /** Decide; `leave` is called when the session that runs is of the source not wanted any more. */
  tick(view: { readonly busy: boolean; readonly nowMs: number }, leave: () => void): void;
  /** What to read next. */
  next(): Promise<EventSource>;
  close(): Promise<void>;
}

export interface HomeOptions {
  readonly reader: LogReader;
  readonly fallback?: EventSource | undefined;
  /** What is read first; "nats" unless told. */
  readonly first?: SourceName | undefined;
  readonly limits: HomingLimits;
  readonly lag: Lag;
  readonly log: Logger;
  /** What the feed has, for the comparison with the log before it is read again. */
  readonly position: () => ReaderPosition;
  readonly onSwitch?: ((to: SourceName | "otherServer") => void) | undefined;
}

const MAX_WAIT_MS = 60_000;

/** Up to a half later, each agent in its own way: when the leader goes, all miss it at once, and etcd is not listed by all at once. */
function spread({ rehomeMs, fallBackMs, returnMs }: HomingLimits): HomingLimits {
  const by = 1 + Math.random() / 2;
  return { rehomeMs: rehomeMs * by, fallBackMs: fallBackMs * by, returnMs: returnMs * by };
}

export function makeHome({ reader, fallback, first = "nats", limits: shared, lag, log, position, onSwitch }: HomeOptions): Home {
  const limits = spread(shared);
  let source = first;
  let wanted = first;
  let rehomedMs = Number.NEGATIVE_INFINITY;
  let returnNotBeforeMs = Number.NEGATIVE_INFINITY;
  let refusedReturns = 0;

  async function logIsBack(): Promise<boolean> {
    try {
      const { entries, complete } = await reader.entries();
      if (complete && logHasAll(entries, position())) return true;
      log.info("log is behind the store, reading the store on");
    } catch (error) {
      log.warn("log cannot be read, reading the store on", { error });
    }
    const waitMs = Math.min(MAX_WAIT_MS, limits.returnMs * 2 ** Math.min(refusedReturns++, 8));
    returnNotBeforeMs = Date.now() + waitMs;
    return false;
  }

  async function moveTo(to: SourceName): Promise<void> {
    source = to;
    lag.restart();
    onSwitch?.(to);
    if (to === "nats") {
      refusedReturns = 0;
      log.info("reading the log again");
      await fallback?.close();
    } else {
      log.warn("log is late, reading the store itself", { lagMs: Math.round(lag.lagMs(Date.now())) });
    }
  }

  return {
    get source() {
      return source;
    },
    tick({ busy, nowMs }, leave) {
      if (wanted !== source) return;
      const decision = decideHome(
        {
          source,
          busy,
          hasFallback: fallback !== undefined,
          connected: reader.connected,
          lagMs: lag.lagMs(nowMs),
          steadyMs: lag.steadyMs(nowMs),
          sinceRehomeMs: nowMs - rehomedMs,
          mayReturn: nowMs >= returnNotBeforeMs,
        },
        limits,
      );
      if (decision === "stay") return;
      if (decision === "rehome") {
        rehomedMs = nowMs;
        log.warn("log is late, going to another nats server", { lagMs: Math.round(lag.lagMs(nowMs)) });
        onSwitch?.("otherServer");
        return reader.rehome();
      }
      wanted = decision === "fallBack" ? "etcd" : "nats";
      leave();
    },
    async next() {
      if (wanted === "nats" && source === "etcd" && !(await logIsBack())) wanted = "etcd";
      if (wanted !== source) await moveTo(wanted);
      return source === "etcd" && fallback !== undefined ? fallback : reader;
    },
    async close() {
      await Promise.all([reader.close(), fallback?.close()]);
    },
  };
}
