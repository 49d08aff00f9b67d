import type { Store, WatchEvent } from "@calico/datastore";
import { IPAM_PREFIX, RESOURCES_PREFIX, ROOT_PREFIX } from "@calico/model";
import { type Change, maxDataOctets, ruleOn } from "../domain/publication.ts";
import { type Identity, IDENTITY_KEY, identityOf, judgeIdentity } from "../domain/store-identity.ts";
import { identityAfter } from "../service/store-guard.ts";
import type { EventSource, LogMessage, LogReader, LogSession } from "../ports.ts";

/**
 * The store itself as a source of events: a list, then a watch. For when the log cannot be had.
 * `maxPayload` is the log's server's: both sources refuse the same values.
 */
export function makeStoreSource(openStore: () => Promise<Store>, maxPayload?: () => number | undefined): EventSource {
  let store: Promise<Store> | undefined;
  return {
    async open(_signal, known) {
      const largest = maxDataOctets(maxPayload === undefined ? Infinity : maxPayload());
      store ??= openStore().catch((error: unknown) => {
        store = undefined;
        throw error;
      });
      return await openSession(await store, { largest, known });
    },
    async close() {
      const opened = store;
      store = undefined;
      await (await opened)?.close();
    },
  };
}

/** Ends, and says nothing of it, where the store is not the cluster that is `known` any more: emptied, or begun anew. */
async function openSession(
  store: Store,
  { largest, known }: { readonly largest: number; readonly known: Identity | undefined },
): Promise<LogSession> {
  const resources = await store.list(RESOURCES_PREFIX);
  const { revision } = resources;
  const ipam = await store.list(IPAM_PREFIX, { revision });
  let identity = identityOf(resources.items.find(({ key }) => key === IDENTITY_KEY)?.value);
  const mustBe = (is: Identity | undefined) => {
    const ruling = judgeIdentity({ log: known ?? identity, store: is, adopt: undefined });
    if (ruling.kind === "hold") throw new Error(`etcd is not read in place of the log: ${ruling.reason}`);
    identity = is;
  };
  mustBe(identity);
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
    const changes: Extract<WatchEvent, { kind: "put" | "delete" }>[] = [];
    for await (const change of store.watch(ROOT_PREFIX, { fromRevision: revision + 1, signal: closing.signal })) {
      if (change.kind === "compacted") throw new Error(`the store's history ends at ${change.revision}`);
      if (change.kind === "progress") continue;
      changes.push(change);
      if (change.more) continue;
      const after = identityAfter(changes);
      if (after !== undefined) mustBe(after.is);
      yield changes.splice(0).map((c) => toMessage(c, ++seq, largest));
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
