import { Buffer } from "node:buffer";
import { err, ok, type Result } from "@calico/model";
import type { ICompare, IKeyValue, IRequestOp, IResponseOp, ITxnResponse } from "etcd3";
import type { Compare, KeyValue, Store, StoreConflict, TxnOp, TxnResult } from "../ports.ts";
import type { EtcdClient } from "./etcd-client.ts";

const PAGE = 1000;

/** Reads and writes of single keys, lists and transactions. Source: facts §2.2 (the compares of create, update and delete). */
export function makeEtcdKv(client: EtcdClient): Pick<Store, "get" | "list" | "create" | "update" | "put" | "delete" | "txn"> {
  const txn = (what: string, compares: readonly Compare[], success: readonly TxnOp[], failure: readonly TxnOp[]) =>
    client.call(what, "write", async (etcd, options) => {
      const request = { compare: compares.map(encodeCompare), success: success.map(encodeOp), failure: failure.map(encodeOp) };
      const response = await etcd.kv.txn(request, options);
      return decodeTxn(response, response.succeeded ? success : failure);
    });

  return {
    async get(key) {
      const response = await client.call(`read ${key}`, "read", (etcd, options) => etcd.kv.range({ key: Buffer.from(key) }, options));
      const found = response.kvs[0];
      return found === undefined ? undefined : decodeKeyValue(found);
    },
    list: (prefix, options) => listPages(client, prefix, options?.revision),
    async create(key, value) {
      const done = await txn(`create ${key}`, [absent(key)], [{ do: "put", key, value }], [{ do: "get", key }]);
      const kv = done.results[0];
      if (kv === undefined) throw new Error(`Cannot create ${key}: etcd refused it as existing, and found nothing`);
      return done.succeeded ? ok(kv) : err({ kind: "alreadyExists", key, current: kv });
    },
    async update(key, value, modRevision) {
      const done = await txn(`update ${key}`, [unchanged(key, modRevision)], [{ do: "put", key, value }], [{ do: "get", key }]);
      return outcome(key, done);
    },
    async put(key, value) {
      const done = await txn(`write ${key}`, [], [{ do: "put", key, value }], []);
      const kv = done.results[0];
      if (kv === undefined) throw new Error(`Cannot write ${key}: etcd's answer does not hold it`);
      return kv;
    },
    async delete(key, modRevision) {
      const done = await txn(`delete ${key}`, [unchanged(key, modRevision)], [{ do: "delete", key }], [{ do: "get", key }]);
      return outcome(key, done);
    },
    txn: ({ compares, success, failure = [] }) => txn(`run the transaction on ${nameKeys(compares, success)}`, compares, success, failure),
  };
}

function outcome(key: string, done: TxnResult): Result<KeyValue, StoreConflict> {
  const kv = done.results[0];
  if (kv === undefined) return err({ kind: "notFound", key });
  return done.succeeded ? ok(kv) : err({ kind: "conflict", key, current: kv });
}

function absent(key: string): Compare {
  return { key, target: "createRevision", is: "==", revision: 0 };
}

function unchanged(key: string, modRevision: number | undefined): Compare {
  if (modRevision === undefined) return { key, target: "createRevision", is: "!=", revision: 0 };
  return { key, target: "modRevision", is: "==", revision: modRevision };
}

function nameKeys(compares: readonly Compare[], ops: readonly TxnOp[]): string {
  return [...new Set([...compares, ...ops].map(({ key }) => key))].join(", ");
}

/** Pages of 1,000 at one revision: one answer of everything would pass gRPC's message limit. */
async function listPages(client: EtcdClient, prefix: string, at: number | undefined): Promise<{ items: KeyValue[]; revision: number }> {
  const items: KeyValue[] = [];
  const range_end = rangeEnd(prefix);
  let key = Buffer.from(prefix);
  let revision = at;
  for (;;) {
    const request = { key, range_end, limit: PAGE, ...(revision === undefined ? {} : { revision }) };
    const response = await client.call(`list ${prefix}`, "read", (etcd, options) => etcd.kv.range(request, options));
    revision ??= Number(response.header.revision);
    for (const kv of response.kvs) items.push(decodeKeyValue(kv));
    const last = response.kvs.at(-1);
    if (!response.more || last === undefined) return { items, revision };
    key = Buffer.concat([last.key, Buffer.from([0])]);
  }
}

/** The first key after all that begin with `prefix`; etcd's own way to say "prefix". */
export function rangeEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    const octet = end[i]!;
    if (octet === 0xff) continue;
    end[i] = octet + 1;
    return end.subarray(0, i + 1);
  }
  return Buffer.from([0]);
}

export function decodeKeyValue(kv: IKeyValue): KeyValue {
  return {
    key: kv.key.toString(),
    value: kv.value.toString(),
    modRevision: Number(kv.mod_revision),
    createRevision: Number(kv.create_revision),
  };
}

const RESULT = { "==": "Equal", "!=": "NotEqual", ">": "Greater", "<": "Less" } as const;

function encodeCompare({ key, isPrefix, target, is, revision }: Compare): ICompare {
  const base = { key: Buffer.from(key), result: RESULT[is], ...(isPrefix ? { range_end: rangeEnd(key) } : {}) };
  return target === "modRevision"
    ? { ...base, target: "Mod", mod_revision: revision }
    : { ...base, target: "Create", create_revision: revision };
}

function encodeOp(op: TxnOp): IRequestOp {
  const key = Buffer.from(op.key);
  if (op.do === "get") return { request_range: { key } };
  if (op.do === "put") return { request_put: { key, value: Buffer.from(op.value), prev_kv: op.createRevision === undefined } };
  return { request_delete_range: { key, prev_kv: true } };
}

function decodeTxn(response: ITxnResponse, ops: readonly TxnOp[]): TxnResult {
  const revision = Number(response.header.revision);
  const results = ops.map((op, i) => decodeOp(op, response.responses[i], revision));
  return { succeeded: response.succeeded, revision, results };
}

function decodeOp(op: TxnOp, response: IResponseOp | undefined, revision: number): KeyValue | undefined {
  const decode = (kv: IKeyValue | null | undefined) => (kv === undefined || kv === null ? undefined : decodeKeyValue(kv));
  if (op.do === "get") return decode(response?.response_range?.kvs[0]);
  if (op.do === "delete") return decode(response?.response_delete_range?.prev_kvs[0]);
  const previous = decode(response?.response_put?.prev_kv);
  return { key: op.key, value: op.value, modRevision: revision, createRevision: op.createRevision ?? previous?.createRevision ?? revision };
}
