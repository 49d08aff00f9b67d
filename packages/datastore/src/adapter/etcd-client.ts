import { Buffer } from "node:buffer";
import type { Etcd3, IOptions } from "etcd3";
import { StoreUnavailable } from "../ports.ts";
import { faultOf, isDeadline, isDenied, reasonOf } from "./etcd-faults.ts";
import { checkIdentity, identityOptions } from "./etcd-identity.ts";
import { makeHostPolicies } from "./etcd-hosts.ts";
import { type EtcdLogin, type EtcdUser, type EtcdUserFile, makeLogin, tokenOptions } from "./etcd-login.ts";
import { type EtcdTls, type EtcdTlsFiles, makeTlsSource } from "./etcd-tls.ts";

export interface EtcdClientOptions {
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls | EtcdTlsFiles;
  readonly log?: {
    warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
    info?(message: string, fields?: Readonly<Record<string, unknown>>): void;
  };
  readonly auth?: EtcdUser | EtcdUserFile;
  readonly timeoutMs: number;
}

/** The lazily loaded etcd3 client, and the one way to call it: bounded, and retried where that is safe. */
export interface EtcdClient {
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  /** For streams: logged in. */
  raw(): Promise<Etcd3>;
  /** After a stream that etcd refused: `raw` logs in anew. False if there is nobody to log in. */
  relogin(): boolean;
  /** A read may be repeated after any fault; a write only when it surely did not reach etcd. */
  call<T>(what: string, kind: "read" | "write", action: (etcd: Etcd3, options: { deadline: Date }) => Promise<T>): Promise<T>;
  /** Fires on close: streams end with it, since an open one keeps the process alive. */
  readonly closed: AbortSignal;
  close(): Promise<void>;
}

/** Loading etcd3 costs 26 MB: only who calls etcd pays. */
export function makeEtcdClient(options: EtcdClientOptions): EtcdClient {
  const { endpoints, timeoutMs } = options;
  const closing = new AbortController();
  const closed = closing.signal;
  const login = options.auth && makeLogin(options.auth);
  const connections = makeConnections(options, login);
  const current = () => {
    if (closed.aborted) throw new StoreUnavailable("Cannot use the etcd client: it was closed", { outcome: "notApplied" });
    return connections.current();
  };
  return {
    endpoints,
    timeoutMs,
    closed,
    async raw() {
      const etcd = await current();
      await login?.ready(etcd, new Date(Date.now() + timeoutMs));
      return etcd;
    },
    relogin() {
      login?.forget(login.token());
      return login !== undefined;
    },
    async call(what, kind, action) {
      const until = Date.now() + timeoutMs;
      let earlier: unknown; // why it did not get through before: the last attempt often only runs out of time
      for (;;) {
        const etcd = await current();
        let token: string | undefined;
        let sent = false;
        try {
          // A read has time for a second member, should the first be cut off.
          const deadline = new Date(kind === "read" ? Math.min(until, Date.now() + timeoutMs / 2) : until);
          await login?.ready(etcd, deadline);
          token = login?.token();
          sent = true;
          return await action(etcd, { deadline });
        } catch (cause) {
          const found = faultOf(cause);
          if (found === "lapsed") login?.forget(token);
          const fault = found === "broken" && !sent ? "notSent" : found;
          const again = fault === "notSent" || (fault === "lapsed" && login !== undefined) || (fault === "broken" && kind === "read");
          if (!again || closed.aborted || Date.now() + RETRY_MS >= until)
            throw unavailable({ what, endpoints, fault, kind, cause: isDeadline(cause) ? (earlier ?? cause) : cause });
          if (!isDeadline(cause)) earlier = cause;
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        }
      }
    },
    async close() {
      closing.abort(new Error("the store was closed"));
      await connections.close();
    },
  };
}

/** How often the certificate files are looked at, and how long calls on the old certificate may take to end. */
const LOOK_MS = 1000;
const OLD_CLIENT_MS = 30_000;

/**
 * The etcd3 client in use, made anew when the certificate files were replaced: gRPC keeps the credentials it was made with.
 * Streams on the old client break when it is closed, and resume on the new one.
 */
function makeConnections(options: EtcdClientOptions, login: EtcdLogin | undefined): { current(): Promise<Etcd3>; close(): Promise<void> } {
  const source = options.tls && makeTlsSource(options.tls);
  const open = (tls: EtcdTls | undefined) =>
    import("etcd3").then(({ Etcd3 }) => {
      const etcd = new Etcd3(etcd3Options(options, tls, login));
      if (tls !== undefined) checkIdentity(etcd, options.endpoints);
      return etcd;
    });
  const old = new Map<Promise<Etcd3>, ReturnType<typeof setTimeout>>();
  let client: Promise<Etcd3> | undefined;
  let lookAt = 0;
  const retire = (outgoing: Promise<Etcd3>) => {
    const end = () => (old.delete(outgoing), void outgoing.then((etcd) => etcd.close()));
    old.set(outgoing, setTimeout(end, OLD_CLIENT_MS));
  };
  const renew = () => {
    if (client === undefined || source === undefined || Date.now() < lookAt) return;
    lookAt = Date.now() + LOOK_MS;
    if (!source.changed()) return;
    try {
      const next = open(source.load());
      retire(client);
      client = next;
      options.log?.info?.("etcd certificates were replaced, connecting anew");
    } catch (error) {
      lookAt = 0; // half of a replacement, most likely: look again at the next call
      options.log?.warn("new etcd certificates cannot be used yet", { error });
    }
  };
  return {
    async current() {
      renew();
      return await (client ??= open(source?.load()));
    },
    async close() {
      for (const [outgoing, timer] of old) {
        clearTimeout(timer);
        (await outgoing).close();
      }
      if (client !== undefined) (await client).close();
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
  const reason = reasonOf(
    o.cause,
    o.endpoints.some((url) => url.startsWith("https:")),
  );
  const outcome = o.kind === "read" || o.fault !== "broken" ? "notApplied" : "unknown";
  const advice = o.fault === "refused" || o.fault === "lapsed" ? "" : `; check that etcd runs at ${o.endpoints.join(", ")}`;
  return new StoreUnavailable(`Cannot ${o.what}: ${reason}${advice}`, { outcome, denied: isDenied(o.cause), cause: o.cause });
}

/** etcd3's circuit breaker would refuse calls for 5 s after three failures; our own bounded retry replaces it. */
const passThrough = { execute: async (action: (context: object) => unknown) => action({}) } as never;

function etcd3Options({ endpoints, timeoutMs }: EtcdClientOptions, tls: EtcdTls | undefined, login: EtcdLogin | undefined): IOptions {
  return {
    hosts: [...endpoints],
    dialTimeout: timeoutMs,
    faultHandling: { host: makeHostPolicies() as never, global: passThrough },
    grpcOptions: {
      "grpc.max_receive_message_length": 64 * 1024 * 1024,
      "grpc.max_send_message_length": 64 * 1024 * 1024,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 500,
      "grpc.keepalive_time_ms": 5_000, // etcd hangs up on who asks more often
      "grpc.keepalive_timeout_ms": 2_000,
      ...(tls === undefined ? {} : identityOptions(endpoints)),
      ...(login === undefined ? {} : tokenOptions(login)),
    },
    ...(tls === undefined ? {} : { credentials: credentials(tls) }),
  };
}

function credentials(tls: EtcdTls): NonNullable<IOptions["credentials"]> {
  return {
    rootCertificate: Buffer.from(tls.ca),
    ...(tls.cert === undefined ? {} : { certChain: Buffer.from(tls.cert) }),
    ...(tls.key === undefined ? {} : { privateKey: Buffer.from(tls.key) }),
  };
}
