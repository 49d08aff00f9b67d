import { Buffer } from "node:buffer";
import type { Etcd3, IOptions } from "etcd3";
import { StoreUnavailable } from "../ports.ts";
import { faultOf } from "./etcd-faults.ts";

export interface EtcdTls {
  /** PEM text. `cert` and `key` together authenticate this client. */
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface EtcdClientOptions {
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls;
  readonly auth?: { readonly username: string; readonly password: string };
  readonly timeoutMs: number;
}

/** The lazily loaded etcd3 client, and the one way to call it: bounded, and retried where that is safe. */
export interface EtcdClient {
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  raw(): Promise<Etcd3>;
  /** A read may be repeated after any fault; a write only when it surely did not reach etcd. */
  call<T>(what: string, kind: "read" | "write", action: (etcd: Etcd3, options: { deadline: Date }) => Promise<T>): Promise<T>;
  /** Fires on close: streams end with it, since an open one keeps the process alive. */
  readonly closed: AbortSignal;
  close(): Promise<void>;
}

/** Loading etcd3 costs 26 MB: only who calls etcd pays. */
export function makeEtcdClient(options: EtcdClientOptions): EtcdClient {
  const { endpoints, timeoutMs } = options;
  let client: Promise<Etcd3> | undefined;
  const closing = new AbortController();
  const closed = closing.signal;
  const raw = () => {
    if (closed.aborted) throw new StoreUnavailable("Cannot use the etcd client: it was closed", { outcome: "notApplied" });
    return (client ??= import("etcd3").then(({ Etcd3 }) => new Etcd3(etcd3Options(options))));
  };
  return {
    endpoints,
    timeoutMs,
    closed,
    raw,
    async call(what, kind, action) {
      const until = Date.now() + timeoutMs;
      for (;;) {
        const etcd = await raw();
        try {
          return await action(etcd, { deadline: new Date(until) });
        } catch (cause) {
          const fault = faultOf(cause);
          const again = fault === "notSent" || (fault === "broken" && kind === "read");
          if (!again || closed.aborted || Date.now() + RETRY_MS >= until) throw unavailable({ what, endpoints, fault, kind, cause });
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        }
      }
    },
    async close() {
      closing.abort(new Error("the store was closed"));
      (await client)?.close();
    },
  };
}

const RETRY_MS = 100;

function unavailable(o: {
  what: string;
  endpoints: readonly string[];
  fault: string;
  kind: "read" | "write";
  cause: unknown;
}): StoreUnavailable {
  const reason = o.cause instanceof Error ? o.cause.message : String(o.cause);
  const outcome = o.kind === "read" || o.fault === "notSent" || o.fault === "refused" ? "notApplied" : "unknown";
  const advice = o.fault === "refused" ? "" : `; check that etcd runs at ${o.endpoints.join(", ")}`;
  return new StoreUnavailable(`Cannot ${o.what}: ${reason}${advice}`, { outcome, cause: o.cause });
}

/** etcd3's circuit breaker would refuse calls for 5 s after three failures; our own bounded retry replaces it. */
const passThrough = { execute: async (action: (context: object) => unknown) => action({}) } as never;

function etcd3Options({ endpoints, tls, auth, timeoutMs }: EtcdClientOptions): IOptions {
  return {
    hosts: [...endpoints],
    dialTimeout: timeoutMs,
    faultHandling: { host: () => passThrough, global: passThrough },
    grpcOptions: {
      "grpc.max_receive_message_length": 64 * 1024 * 1024,
      "grpc.max_send_message_length": 64 * 1024 * 1024,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 500,
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 3_000,
    },
    ...(tls === undefined ? {} : { credentials: credentials(tls) }),
    ...(auth === undefined ? {} : { auth }),
  };
}

function credentials(tls: EtcdTls): NonNullable<IOptions["credentials"]> {
  return {
    rootCertificate: Buffer.from(tls.ca),
    ...(tls.cert === undefined ? {} : { certChain: Buffer.from(tls.cert) }),
    ...(tls.key === undefined ? {} : { privateKey: Buffer.from(tls.key) }),
  };
}
