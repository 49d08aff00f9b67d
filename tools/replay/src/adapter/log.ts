/** The live log as a history. */
import { natsConnection, openHistory, type NatsAccess } from "@calico/bus";
import type { Logger } from "@calico/daemon";
import { type History, makeHistoryBuilder } from "../domain/history.ts";

export type ReadOptions = {
  readonly servers: readonly string[];
  readonly timeoutMs: number;
  readonly access?: Omit<NatsAccess, "node">;
  readonly progress: (done: number, total: number) => void;
};

const NAME = "calico-replay";
const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export async function readLog({ servers, timeoutMs, access, progress }: ReadOptions): Promise<History> {
  const where = servers.join(",");
  const signal = AbortSignal.timeout(timeoutMs);
  const connection = access === undefined ? undefined : natsConnection({ ...access, node: NAME });
  const opened = await openHistory({ servers, name: NAME, log: SILENT, signal, ...(connection && { connection }) }).catch(
    (error: unknown) => {
      const why = signal.aborted
        ? `nobody answers there within ${timeoutMs / 1000} s`
        : error instanceof Error
          ? error.message
          : String(error);
      throw new Error(`Cannot read the event log at ${where}: ${why}`, { cause: error });
    },
  );
  await using log = opened;
  const builder = makeHistoryBuilder({ maxPerSubject: log.maxPerSubject });
  let read = 0;
  await log.read((message) => {
    builder.add(message.kind === "change" ? { ...message, data: message.data() } : message);
    if (++read % 5000 === 0) progress(read, log.count);
  });
  progress(read, log.count);
  return builder.finish();
}
