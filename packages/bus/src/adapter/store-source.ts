import type { Store } from "@calico/datastore";
import { IPAM_PREFIX, RESOURCES_PREFIX, ROOT_PREFIX } from "@calico/model";
import { type Change, maxDataOctets, ruleOn } from "../domain/publication.ts";
import type { EventSource, LogMessage, LogReader, LogSession } from "../ports.ts";

/**
 * The store itself as a source of events: a list, then a watch. For when the log cannot be had.
 * `maxPayload` is the log's server's: both sources refuse the same values.
 */
export function makeStoreSource(openStore: () => Promise<Store>, maxPayload?: () => number | undefined): EventSource {
  let store: Promise<Store> | undefined;
  return {
    async open() {
      return await openSession(await (store ??= openStore()), maxDataOctets(maxPayload === undefined ? Infinity : maxPayload()));
    },
    async close() {
      const opened = store;
      store = undefined;
      await (await opened)?.close();
    },
  };
}

async function openSession(store: Store, largest: number): Promise<LogSession> {
  const resources = await store.list(RESOURCES_PREFIX);
  const { revision } = resources;
  const ipam = await store.list(IPAM_PREFIX, { revision });
  const closing = new AbortController();
  const snapshot = [...resources.items, ...ipam.items];
  const lastSeq = snapshot.length + 1;
  async function* messages(): AsyncGenerator<readonly LogMessage[]> {
    let seq = 0;
    for (const item of snapshot.splice(0)) {
      if (closing.signal.aborted) return;
      yield [toMessage({ kind: "put", ...item }, ++seq, largest)];
    }
    yield [{ kind: "complete", seq: ++seq, revision }];
    for await (const change of store.watch(ROOT_PREFIX, { fromRevision: revision + 1, signal: closing.signal })) {
      if (change.kind === "compacted") throw new Error(`the store's history ends at ${change.revision}`);
      if (change.kind !== "progress") yield [toMessage(change, ++seq, largest)];
    }
    if (!closing.signal.aborted) throw new Error("the store's watch ended");
  }
  return { lastSeq, messages: messages(), close: async () => closing.abort(new Error("the session was closed")) };
}

/** A value that the log would refuse is a message without JSON: it is counted, and leaves what was there. */
function toMessage(change: Change, seq: number, largest: number): LogMessage {
  const ruling = ruleOn(change, { maxDataOctets: largest, nowMs: Date.now() });
  if (ruling.kind === "ignore") return { kind: "other", seq };
  if (ruling.kind === "refuse") return { kind: "change", seq, key: ruling.key, op: "put", revision: ruling.revision, data: () => "" };
  const { key, op, revision, seenAt, data } = ruling.publication;
  return { kind: "change", seq, key, op, revision, seenAt, data: () => data };
}

/** For a feed that reads the store alone. */
export const noLog: LogReader = {
  open: () => Promise.reject(new Error("there is no log beside this store")),
  close: async () => {},
  connected: false,
  onHeartbeat: () => {},
  rehome: () => {},
  entries: async () => ({ entries: new Map(), complete: false }),
};
