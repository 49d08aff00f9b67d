import type { IncomingMessage } from "node:http";

export interface LineOptions {
  /** Give up when nothing came for so long: a half-open connection says nothing. */
  readonly idleMs: number;
  readonly signal: AbortSignal | undefined;
  readonly stop: () => void;
}

const PAUSE_AT = 1000;

/** Lines of a body, with back-pressure. Throws if the connection ends before the body does. */
export async function* readLines(response: IncomingMessage, options: LineOptions): AsyncGenerator<string> {
  const source = follow(response, options);
  try {
    for (;;) {
      const batch = await source.next();
      if (batch === undefined) return;
      yield* batch;
    }
  } finally {
    source.close();
  }
}

interface Follower {
  next(): Promise<readonly string[] | undefined>;
  close(): void;
}

function follow(response: IncomingMessage, { idleMs, signal, stop }: LineOptions): Follower {
  let rest = "";
  let ready: string[] = [];
  let outcome: { readonly error?: unknown } | undefined;
  let wake: (() => void) | undefined;
  const finish = (result: { readonly error?: unknown }) => {
    if (outcome !== undefined) return;
    outcome = result;
    clearTimeout(idle);
    signal?.removeEventListener("abort", aborted);
    if (rest !== "" && !("error" in result)) ready.push(rest);
    wake?.();
  };
  const aborted = () => finish({ error: signal?.reason ?? new Error("aborted") });
  const expired = () => finish({ error: new Error(`nothing received for ${idleMs} ms`) });
  let idle = setTimeout(expired, idleMs);
  response.setEncoding("utf8");
  response.on("data", (chunk: string) => {
    clearTimeout(idle);
    if (outcome !== undefined) return;
    idle = setTimeout(expired, idleMs);
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    ready.push(...lines);
    if (ready.length > PAUSE_AT) response.pause();
    wake?.();
  });
  response.once("end", () => finish(response.complete ? {} : { error: new Error("connection closed in the middle of the answer") }));
  response.on("error", (error) => finish({ error }));
  response.once("aborted", () => finish({ error: new Error("connection aborted") }));
  response.once("close", () => finish(response.complete ? {} : { error: new Error("connection closed in the middle of the answer") }));
  signal?.addEventListener("abort", aborted, { once: true });
  if (signal?.aborted === true) aborted();
  return {
    async next() {
      while (ready.length === 0 && outcome === undefined) await new Promise<void>((resolve) => (wake = resolve));
      if (ready.length > 0) {
        const batch = ready;
        ready = [];
        response.resume();
        return batch;
      }
      if (outcome !== undefined && "error" in outcome) throw outcome.error;
      return undefined;
    },
    close() {
      const whole = outcome !== undefined && !("error" in outcome);
      finish({});
      if (!whole) stop(); // else the socket goes back to the pool
    },
  };
}
