import { type Logger, pause } from "@calico/daemon";
import type { Applied, Status } from "@calico/model";
import { escapeToken } from "../domain/subject.ts";
import { type Nats, openNats, type NatsOptions } from "./nats.ts";
import { ensureIpamStream, ensureNodeStream } from "./stream.ts";

/** Says what an agent did and how it is. Never blocks, never throws: while nats is away, all but the newest status is dropped. */
export interface Reporter {
  status(body: Omit<Status, "component" | "node">): void;
  applied(body: Omit<Applied, "component" | "node">): void;
  /** `subject` below `calico.`, for example `cni.NODE.add`. */
  event(subject: string, body: object): void;
  close(): Promise<void>;
}

export interface ReporterOptions {
  readonly servers: readonly string[];
  readonly component: string;
  readonly node: string;
  readonly log: Logger;
  readonly connection?: NatsOptions["connection"];
  /** The stream that keeps what is said: the nodes' (default), or IPAM's, for events below `ipam.`. */
  readonly stream?: "node" | "ipam";
}

export function openReporter(options: ReporterOptions): Reporter {
  const { servers, component, node, log, connection } = options;
  const nats = openNats({ servers, name: `${component}-report/${node}`, log, ...(connection && { connection }) });
  const place = `${escapeToken(component)}.${escapeToken(node)}`;
  let status: string | undefined;
  void keepStream(nats, options, () => status !== undefined && send(nats, log, `calico.status.${place}`, status));
  return {
    status(body) {
      status = JSON.stringify({ ...body, component, node });
      send(nats, log, `calico.status.${place}`, status);
    },
    applied: (body) => send(nats, log, `calico.applied.${place}`, JSON.stringify({ ...body, component, node })),
    event: (subject, body) => send(nats, log, subject.startsWith("calico.") ? subject : `calico.${subject}`, JSON.stringify(body)),
    close: () => nats.close(),
  };
}

const LOOK_AGAIN_MS = 5000;

/** Each time a connection is made: see that the stream is there, then say the newest status again. Who may not make it waits for the syncer to. */
async function keepStream(nats: Nats, { log, stream }: ReporterOptions, sayAgain: () => void): Promise<void> {
  while (!nats.closed) {
    const lost = new AbortController();
    const unlisten = nats.onDisconnect(() => lost.abort());
    try {
      const { jsm } = await nats.use();
      await (stream === "ipam" ? ensureIpamStream : ensureNodeStream)(jsm);
      sayAgain();
      if (!lost.signal.aborted) await new Promise((resolve) => lost.signal.addEventListener("abort", resolve, { once: true }));
    } catch (error) {
      if (nats.closed) return;
      log.warn("report stream not there, reports may be lost", { error });
      await pause(LOOK_AGAIN_MS, lost.signal);
    } finally {
      unlisten();
    }
  }
}

function send(nats: Nats, log: Logger, subject: string, data: string): void {
  if (nats.handle === undefined) return;
  try {
    nats.handle.nc.publish(subject, data);
  } catch (error) {
    log.warn("report not sent", { subject, error });
  }
}
