import process from "node:process";
import type { Store } from "../ports.ts";
import { makeEtcdClient } from "./etcd-client.ts";
import { electEtcd } from "./etcd-election.ts";
import { makeEtcdKv } from "./etcd-kv.ts";
import type { EtcdUser, EtcdUserFile } from "./etcd-login.ts";
import type { EtcdTls, EtcdTlsFiles } from "./etcd-tls.ts";
import { watchEtcd, type WatchLog } from "./etcd-watch.ts";

export interface EtcdOptions {
  /** `http://HOST:PORT` or `https://HOST:PORT` each. */
  readonly endpoints: readonly string[];
  /** Files are read again when they change, so that certificates can be replaced without a restart. */
  readonly tls?: EtcdTls | EtcdTlsFiles;
  /** A password file is read again at each login. */
  readonly auth?: EtcdUser | EtcdUserFile;
  readonly log?: WatchLog;
  /** How long one operation may take, reconnecting included, before it throws StoreUnavailable. Default: ETCD_TIMEOUT_MS, else 5000. */
  readonly timeoutMs?: number;
}

/** A store on etcd. Returns at once; the first operation connects. */
export function openEtcd(options: EtcdOptions): Store {
  const { endpoints, timeoutMs = defaultTimeoutMs(), log, tls, auth } = options;
  if (endpoints.length === 0) throw new Error("Cannot open etcd: no endpoint was given; expected for example http://10.0.0.1:2379");
  const client = makeEtcdClient({ endpoints, timeoutMs, ...(tls && { tls }), ...(auth && { auth }), ...(log && { log }) });
  return {
    ...makeEtcdKv(client),
    watch: (prefix, o) => watchEtcd(client, prefix, { ...o, signal: AbortSignal.any([o.signal, client.closed]), log }),
    elect: (name, id, signal) => electEtcd(client, { name, id, signal: AbortSignal.any([signal, client.closed]), log }),
    close: () => client.close(),
    [Symbol.asyncDispose]: () => client.close(),
  };
}

/** For machines so slow that a program's own start takes seconds (an emulated kernel). */
function defaultTimeoutMs(): number {
  const given = Number(process.env["ETCD_TIMEOUT_MS"]);
  return Number.isInteger(given) && given > 0 ? given : 5000;
}
