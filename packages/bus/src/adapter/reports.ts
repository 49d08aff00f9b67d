import { type Logger, pause } from "@calico/daemon";
import { type Applied, appliedSchema, type Status, statusSchema } from "@calico/model";
import type { JsMsg } from "@nats-io/jetstream";
import { timeOf } from "./headers.ts";
import { openNats, type NatsOptions } from "./nats.ts";
import { openSession } from "./session.ts";
import { ensureNodeStream, NODE_STREAM } from "./stream.ts";

/** A report as it came. `storedAtMs` is when the stream took it, by the NATS server's clock. */
export type Report =
  | { readonly kind: "applied"; readonly body: Applied; readonly storedAtMs: number }
  | { readonly kind: "status"; readonly body: Status; readonly storedAtMs: number }
  | { readonly kind: "event"; readonly subject: string; readonly body: unknown; readonly storedAtMs: number };

export interface ReportsOptions {
  readonly servers: readonly string[];
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly connection?: NatsOptions["connection"];
}

/** The newest report of each subject, then all that follow. Ends on the signal; after a lost connection the newest ones come again. */
export async function* openReports(options: ReportsOptions): AsyncGenerator<Report> {
  const { servers, signal, log, connection } = options;
  const nats = openNats({ servers, name: "reports", log, ...(connection && { connection }) });
  try {
    while (!signal.aborted) {
      try {
        const { jsm } = await nats.use(signal);
        await ensureNodeStream(jsm);
        const session = await openSession(nats, { stream: NODE_STREAM, filter: "calico.>" });
        const stop = () => void session.close();
        signal.addEventListener("abort", stop, { once: true });
        try {
          for await (const message of session.messages) {
            const report = decodeReport(message);
            if (report === undefined) log.warn("report not understood", { subject: message.subject });
            else yield report;
          }
        } finally {
          signal.removeEventListener("abort", stop);
          await session.close();
        }
      } catch (error) {
        if (signal.aborted) return;
        log.warn("reports interrupted, opening again", { error });
        await pause(250, signal);
      }
    }
  } finally {
    await nats.close();
  }
}

function decodeReport(message: JsMsg): Report | undefined {
  const storedAtMs = timeOf(message);
  const kind = message.subject.split(".")[1];
  let json: unknown;
  try {
    json = message.json();
  } catch {
    return undefined;
  }
  if (kind === "applied") {
    const body = appliedSchema.safeParse(json);
    return body.success ? { kind, body: body.data, storedAtMs } : undefined;
  }
  if (kind === "status") {
    const body = statusSchema.safeParse(json);
    return body.success ? { kind, body: body.data, storedAtMs } : undefined;
  }
  return { kind: "event", subject: message.subject, body: json, storedAtMs };
}
