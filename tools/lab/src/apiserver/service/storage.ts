/** Objects in etcd: the codec, and the one transaction that every write is. */
import type { Compare, KeyValue, TxnOp } from "@calico/datastore";
import type { ApiObject } from "../domain/api-object.ts";
import { type ApiKind, storageKey } from "../domain/kinds.ts";
import { reservationsOf } from "../domain/service-address.ts";
import type { ServerPorts } from "../ports.ts";

export const IP_PREFIX = "/registry/ranges/serviceips/";
export const PORT_PREFIX = "/registry/ranges/servicenodeports/";

/** An object as stored: resourceVersion is etcd's mod revision and is not in the value. */
export function decodeObject(kv: Pick<KeyValue, "value" | "modRevision">): ApiObject {
  const object = JSON.parse(kv.value) as ApiObject;
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(kv.modRevision) } };
}

function encodeObject(object: ApiObject): string {
  const { resourceVersion: _version, ...metadata } = object.metadata;
  return JSON.stringify({ ...object, metadata });
}

export interface WriteRequest {
  readonly kind: ApiKind;
  /** What is there now, as read; `undefined` writes a new object. */
  readonly old: KeyValue | undefined;
  /** What is to be there; `undefined` removes it. */
  readonly next: ApiObject | undefined;
  /** Further conditions, such as that the namespace is as it was read. */
  readonly compares?: readonly Compare[];
}

export type WriteOutcome =
  | { readonly kind: "written"; readonly object: ApiObject }
  | { readonly kind: "removed"; readonly object: ApiObject }
  /** The object is not as `old` says: created, changed or gone. */
  | { readonly kind: "changed"; readonly current: KeyValue | undefined }
  /** An address or port that the object claims belongs to another. */
  | { readonly kind: "taken"; readonly what: string }
  /** One of the further conditions does not hold. */
  | { readonly kind: "moved" };

export interface Storage {
  read(kind: ApiKind, place: { readonly namespace: string | undefined; readonly name: string }): Promise<KeyValue | undefined>;
  write(request: WriteRequest): Promise<WriteOutcome>;
  /** The value that the change at `revision` replaced or removed. */
  before(key: string, revision: number): Promise<string | undefined>;
}

/** Values that recent writes replaced, so that watches need not ask etcd's history for them. */
const REMEMBERED = 512;

export function makeStorage({ store }: Pick<ServerPorts, "store">): Storage {
  const replaced = new Map<string, string>();
  const remember = (key: string, revision: number, value: string) => {
    replaced.set(`${revision} ${key}`, value);
    if (replaced.size > REMEMBERED) replaced.delete(replaced.keys().next().value ?? "");
  };
  return {
    read: (kind, { namespace, name }) => store.get(storageKey(kind, { namespace, name })),
    async write(request) {
      const { kind, old, next, compares = [] } = request;
      const meta = next?.metadata ?? (old === undefined ? undefined : decodeObject(old).metadata);
      if (meta === undefined) throw new Error("Cannot write nothing over nothing");
      const key = old?.key ?? storageKey(kind, meta);
      const { claims, ops } = reservationOps(request, key);
      const success: TxnOp[] = [next === undefined ? { do: "delete", key } : { do: "put", key, value: encodeObject(next) }, ...ops];
      const mine: Compare = old === undefined ? absent(key) : { key, target: "modRevision", is: "==", revision: old.modRevision };
      const done = await store.txn({
        compares: [mine, ...claims.map(absent), ...compares],
        success,
        failure: [{ do: "get", key }, ...claims.map((c): TxnOp => ({ do: "get", key: c }))],
      });
      if (!done.succeeded) {
        const current = done.results[0];
        if (current?.modRevision !== old?.modRevision) return { kind: "changed", current };
        const taken = done.results.slice(1).find((r) => r !== undefined);
        return taken === undefined ? { kind: "moved" } : { kind: "taken", what: taken.key.slice(taken.key.lastIndexOf("/") + 1) };
      }
      if (old !== undefined) remember(key, done.revision, old.value);
      if (next !== undefined) return { kind: "written", object: withVersion(next, done.revision) };
      return { kind: "removed", object: decodeObject({ value: old?.value ?? "{}", modRevision: done.revision }) };
    },
    async before(key, revision) {
      const known = replaced.get(`${revision} ${key}`);
      if (known !== undefined) return known;
      const { items } = await store.list(key, { revision: revision - 1 });
      return items.find((kv) => kv.key === key)?.value;
    },
  };
}

function withVersion(object: ApiObject, revision: number): ApiObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
}

const absent = (key: string): Compare => ({ key, target: "createRevision", is: "==", revision: 0 });

/** A Service's addresses and node ports are keys of their own, claimed and given back in the Service's own transaction. */
function reservationOps({ kind, old, next }: WriteRequest, owner: string): { claims: readonly string[]; ops: readonly TxnOp[] } {
  if (kind.kind !== "Service") return { claims: [], ops: [] };
  const keys = (o: ApiObject | undefined) => {
    const { ips, nodePorts } = reservationsOf(o);
    return [...ips.map((ip) => IP_PREFIX + ip), ...nodePorts.map((port) => PORT_PREFIX + port)];
  };
  const had = keys(old === undefined ? undefined : decodeObject(old));
  const has = keys(next);
  const claims = has.filter((k) => !had.includes(k));
  const gone = had.filter((k) => !has.includes(k));
  return {
    claims,
    ops: [...claims.map((key): TxnOp => ({ do: "put", key, value: owner })), ...gone.map((key): TxnOp => ({ do: "delete", key }))],
  };
}
