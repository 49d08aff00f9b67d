import { KubeConnectionError, KubeError } from "./domain/kube-error.ts";
import { type KubeObject, type ObjectPlace, type ResourceType } from "./domain/resource-type.ts";
import type { KubeClient, WatchEvent, WatchOptions } from "./service/client.ts";
import { keyOfObject } from "./service/reflector.ts";

type Refused = "list" | "watch";

/** An API server in memory, as strict as the real one about versions, for tests of what watches it. */
export interface FakeApi extends KubeClient {
  set(type: ResourceType, object: KubeObject): KubeObject;
  remove(type: ResourceType, key: string): void;
  /** Forget history: a watch from before now gets 410. */
  compact(): void;
  /** Break every open watch, as a server that is killed does. */
  breakWatches(): void;
  /** Answer the next calls of this kind with a broken connection. */
  refuse(what: Refused, times: number): void;
  readonly calls: string[];
}

interface Change {
  readonly revision: number;
  readonly plural: string;
  readonly event: WatchEvent;
}

export function fakeApi(): FakeApi {
  const stored = new Map<string, KubeObject>();
  const history: Change[] = [];
  const refusals: Record<Refused, number> = { list: 0, watch: 0 };
  const calls: string[] = [];
  let revision = 1;
  let oldest = 0;
  let waiters: (() => void)[] = [];
  let era = 0;
  const wake = () => {
    const now = waiters;
    waiters = [];
    for (const w of now) w();
  };
  const record = (plural: string, kind: WatchEvent["kind"], object: KubeObject) => {
    history.push({ revision, plural, event: { kind, object } });
    wake();
  };
  const idOf = (type: ResourceType, place: ObjectPlace) =>
    `${type.plural}|${type.namespaced ? `${place.namespace ?? "default"}/` : ""}${place.name ?? ""}`;
  const find = (type: ResourceType, place: ObjectPlace): KubeObject => {
    const found = stored.get(idOf(type, place));
    if (found === undefined)
      throw new KubeError(`get ${type.plural}`, { code: 404, reason: "NotFound", message: `${place.name ?? ""} not found` });
    return found;
  };
  const take = (what: Refused) => {
    calls.push(what);
    if (refusals[what] === 0) return;
    refusals[what]--;
    throw new KubeConnectionError(what, new Error("connection refused"));
  };
  const api: FakeApi = {
    calls,
    set(type, object) {
      const id = `${type.plural}|${keyOfObject(object)}`;
      const kind = stored.has(id) ? "modified" : "added";
      revision++;
      const next = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
      stored.set(id, next);
      record(type.plural, kind, next);
      return next;
    },
    remove(type, key) {
      const id = `${type.plural}|${key}`;
      const gone = stored.get(id);
      if (gone === undefined) throw new Error(`Cannot remove ${id}: it is not in the fake`);
      stored.delete(id);
      revision++;
      record(type.plural, "deleted", { ...gone, metadata: { ...gone.metadata, resourceVersion: String(revision) } });
    },
    compact() {
      oldest = revision;
      history.length = 0;
    },
    breakWatches() {
      era++;
      wake();
    },
    refuse(what, times) {
      refusals[what] = times;
    },
    get: async (type, place) => find(type, place),
    async list(type) {
      take("list");
      const items = [...stored].filter(([id]) => id.startsWith(`${type.plural}|`)).map(([, o]) => o);
      return { items, resourceVersion: String(revision) };
    },
    async create(type, object) {
      if (stored.has(idOf(type, object.metadata)))
        throw new KubeError(`create ${type.plural}`, { code: 409, reason: "AlreadyExists", message: "already exists" });
      return api.set(type, object);
    },
    async update(type, object) {
      const current = find(type, object.metadata);
      if (object.metadata.resourceVersion !== undefined && object.metadata.resourceVersion !== current.metadata.resourceVersion)
        throw new KubeError(`update ${type.plural}`, { code: 409, reason: "Conflict", message: "the object has been modified" });
      return api.set(type, object);
    },
    patch: () => Promise.reject(new Error("Cannot patch: the fake API has no patches; use the lab's API server")),
    async delete(type, place) {
      find(type, place);
      api.remove(type, idOf(type, place).slice(type.plural.length + 1));
    },
    async deleteAll(type, namespace) {
      for (const id of [...stored.keys()])
        if (id.startsWith(`${type.plural}|${namespace}/`)) api.remove(type, id.slice(type.plural.length + 1));
    },
    async *watch(type: ResourceType, options: WatchOptions) {
      take("watch");
      const mine = era;
      let at = Number(options.resourceVersion);
      if (at < oldest)
        throw new KubeError("watch", { code: 410, reason: "Expired", message: `too old resource version: ${at} (${oldest})` });
      const woken = () => new Promise<void>((resolve) => waiters.push(resolve));
      options.signal.addEventListener("abort", wake, { once: true });
      for (;;) {
        if (mine !== era) throw new KubeConnectionError("watch", new Error("connection aborted"));
        for (const change of history.filter((c) => c.revision > at && c.plural === type.plural)) {
          at = change.revision;
          yield change.event;
        }
        if (options.signal.aborted) throw new KubeConnectionError("watch", options.signal.reason);
        if (!history.some((c) => c.revision > at && c.plural === type.plural)) await woken();
      }
    },
    raw: () => Promise.reject(new Error("Cannot send a raw request: the fake API has no HTTP")),
    close: wake,
  };
  return api;
}
