/** The live log as a history. */
import { natsConnection, openHistory, type NatsAccess } from "@calico/bus";
import type { Logger } from "@calico/daemon";
import { type History, makeHistoryBuilder } from "../domain/history.ts";

export type ReadOptions = {
  readonly servers: readonly string[];
  readonly timeoutMs: number;
  /** How the servers let us in; `node` is the name that the credentials were made for. */
  readonly access?: NatsAccess;
  readonly progress: (done: number, total: number) => void;
};

const NAME = "calico-replay";
export async function readLog({ servers, timeoutMs, access, progress }: ReadOptions): Promise<History> {
  const where = servers.join(",");
  const signal = AbortSignal.timeout(timeoutMs);
  const connection = access === undefined ? undefined : natsConnection(access);
  const refusals = rememberRefusals();
  const cannot = (error: unknown): never => {
    const why = signal.aborted
      ? `nobody answers there within ${timeoutMs / 1000} s: ${refusals.last ?? "no reason given"}`
      : messageOf(error);
    throw new Error(`Cannot read the event log at ${where}: ${why}${adviceOn(why, access)}`, { cause: error });
  };
  await using log = await openHistory({ servers, name: NAME, log: refusals, signal, ...(connection && { connection }) }).catch(cannot);
  const builder = makeHistoryBuilder({ maxPerSubject: log.maxPerSubject });
  let read = 0;
  await log.read((message) => {
    builder.add(message.kind === "change" ? { ...message, data: message.data() } : message);
    if (++read % 5000 === 0) progress(read, log.count);
  });
  progress(read, log.count);
  return builder.finish();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What a person can do about answers of a server that say only what went wrong. */
function adviceOn(why: string, access: NatsAccess | undefined): string {
  if (/permissions violation.*_INBOX/i.test(why)) return "; the credentials were made for another name, see --nats-name";
  if (/: (timeout|.*closed.*|no reason given)$/i.test(why) && access !== undefined && access.natsCert === undefined)
    return "; a server that wants a client's certificate says nothing without one, see --nats-cert";
  return "";
}

/** A connection tries for ever and says why it fails to its log only: the last of that is what a person has to know. */
function rememberRefusals(): Logger & { readonly last: string | undefined } {
  let last: string | undefined;
  return {
    get last() {
      return last;
    },
    debug() {},
    info() {},
    warn(_message, { reason, error } = {}) {
      const text = reason ?? (error instanceof Error ? error.message : error);
      if (typeof text === "string" && text !== "") last = text;
    },
    error() {},
  };
}
