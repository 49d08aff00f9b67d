/** Keeps one listener where the plan wants it; a port that is taken is tried again, and said. */
import type { Logger } from "@calico/daemon";
import { deepEqual } from "../domain/deep-equal.ts";
import type { Cancel, Clock, Conn, Listener, Transport } from "../ports.ts";

export type Where = { readonly port: number; readonly address?: string };

/** `failed` says why, for people. */
export type ListeningState = { readonly where?: Where; readonly failed?: string };

export interface Listening {
  want(where: Where): void;
  state(): ListeningState;
  close(): Promise<void>;
}

const RETRY_MS = 1_000;

export function makeListening(o: {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Logger;
  readonly accepted: (conn: Conn) => void;
}): Listening {
  let wanted: Where | undefined;
  let current: { readonly where: Where; readonly listener: Listener } | undefined;
  let failed: string | undefined;
  let retry: Cancel | undefined;
  let work: Promise<void> = Promise.resolve();

  async function settle(): Promise<void> {
    if (current !== undefined && !deepEqual(current.where, wanted)) {
      await current.listener.close();
      current = undefined;
    }
    if (wanted === undefined || current !== undefined) return;
    const where = wanted;
    try {
      current = { where, listener: await o.transport.listen(where, o.accepted) };
      failed = undefined;
      o.log.info("listening for peers", { ...where });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (failed !== why) o.log.error("cannot listen for peers", { ...where, why });
      failed = why;
      retry = o.clock.after(RETRY_MS, soon);
    }
  }

  function soon(): void {
    work = work.then(settle);
  }

  return {
    want(where) {
      wanted = where;
      retry?.();
      soon();
    },
    state: () => ({ ...(current === undefined ? {} : { where: current.where }), ...(failed === undefined ? {} : { failed }) }),
    async close() {
      wanted = undefined;
      retry?.();
      soon();
      await work;
    },
  };
}
