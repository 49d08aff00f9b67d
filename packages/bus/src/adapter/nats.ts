import type { Logger } from "@calico/daemon";
import { pause } from "@calico/daemon";
import { JetStreamApiError, type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import type { NodeConnectionOptions } from "@nats-io/transport-node";
import { isRefusal, isTurnedAway, reasonOf } from "../domain/nats-reason.ts";
import { withIdentity } from "./nats-identity.ts";
import { connect } from "./nats-transport.ts";

export interface NatsOptions {
  /** `nats://HOST:PORT` or `tls://HOST:PORT` each. */
  readonly servers: readonly string[];
  /** Shown by nats-server's monitoring. */
  readonly name: string;
  readonly log: Logger;
  /** TLS, credentials and the like, as nats.js names them. */
  readonly connection?: Omit<NodeConnectionOptions, "servers" | "name">;
}

export interface NatsHandle {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  /** For reads of single messages, which are asked for again in another way: it waits less long. */
  readonly bySequence: JetStreamManager;
}

/** One connection that comes back: made in the background, retried for ever, each change of state logged once. */
export interface Nats {
  readonly connected: boolean;
  readonly closed: boolean;
  /** Present while connected. */
  readonly handle: NatsHandle | undefined;
  /** What the server last connected to takes in one message, in octets. */
  readonly maxPayload: number | undefined;
  /** Resolves while connected, else as soon as it is; rejects when closed or on the signal. */
  use(signal?: AbortSignal): Promise<NatsHandle>;
  onDisconnect(listener: () => void): () => void;
  /** Leave the server for the next one that is known; stays where there is no other. */
  rehome(): void;
  close(): Promise<void>;
}

/** JetStream's "system temporarily unavailable". */
const UNAVAILABLE = 10008;
const UNANSWERED: ReadonlySet<string> = new Set(["TimeoutError", "NoRespondersError", "JetStreamNotEnabled", "ClosedConnectionError"]);
/** How long a JetStream request may take; a server that just restarted does not answer at all. */
export const REQUEST_TIMEOUT_MS = 2000;
const READ_TIMEOUT_MS = 700;
const CONNECT_TIMEOUT_MS = 2000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 2000;

/** Nobody is there who could answer: members of the cluster elect a leader, or the server has just come back. */
export function isUnanswered(error: unknown): boolean {
  if (error instanceof JetStreamApiError) return error.code === UNAVAILABLE;
  return error instanceof Error && UNANSWERED.has(error.name);
}

/** The server's configuration does not allow this login to ask for that. */
export function isDenied(error: unknown): boolean {
  const name = (e: unknown) => (e instanceof Error ? e.name : "");
  return [error, (error as { cause?: unknown } | undefined)?.cause].some((e) => name(e) === "PermissionViolationError");
}

/** An error of `answer` says what was asked. */
export async function asking<T>(what: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Error) error.message = `Cannot ${what}: ${error.message}`;
    throw error;
  }
}

export function openNats(options: NatsOptions): Nats {
  const { log } = options;
  const closing = new AbortController();
  const listeners = new Set<() => void>();
  let handle: NatsHandle | undefined;
  let last: NatsConnection | undefined; // also while it tries to reconnect
  let connected = Promise.withResolvers<NatsHandle>();
  connected.promise.catch(() => {}); // who waits for it sees the error
  const told = new Set<string>(); // while nats.js tries by itself to get the connection back

  const onFault = (error: Error) => {
    const reason = reasonOf(error);
    if (last === undefined || handle !== undefined || told.has(reason) || (told.size > 0 && !isRefusal(error))) return;
    told.add(reason);
    log.warn("nats not reachable, trying again", { server: last.getServer(), reason });
  };

  // While there is no connection, a refused login comes with each try.
  const onError = (error: Error) => (handle === undefined && isTurnedAway(error) ? onFault(error) : log.warn("nats error", { error }));

  const lostConnection = () => {
    if (handle === undefined) return;
    handle = undefined;
    connected = Promise.withResolvers();
    connected.promise.catch(() => {});
    for (const listener of [...listeners]) listener();
  };

  async function follow(opened: NatsHandle): Promise<void> {
    handle = opened;
    last = opened.nc;
    told.clear();
    connected.resolve(opened);
    for await (const status of opened.nc.status()) {
      if (status.type === "disconnect" && handle !== undefined) {
        log.warn("nats disconnected", { server: status.server });
        lostConnection();
      } else if (status.type === "reconnect" && handle === undefined) {
        log.info("nats connected again", { server: status.server });
        told.clear();
        handle = opened;
        connected.resolve(opened);
      } else if (status.type === "error") onError(status.error);
    }
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      const opened = await dial(options, onFault, closing.signal);
      if (opened === undefined) break;
      log.info("nats connected", { server: opened.nc.getServer() });
      await follow(opened);
      lostConnection();
    }
    connected.reject(new Error("the nats connection was closed"));
  }
  const running = run();

  return {
    get connected() {
      return handle !== undefined;
    },
    get closed() {
      return closing.signal.aborted;
    },
    get handle() {
      return handle;
    },
    get maxPayload() {
      return last?.info?.max_payload;
    },
    use: (signal) => orAborted(connected.promise, signal),
    onDisconnect(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    rehome: () => leaveServer(handle?.nc, options),
    async close() {
      closing.abort();
      lostConnection();
      await last?.close();
      await running;
    },
  };
}

function leaveServer(nc: NatsConnection | undefined, { servers, log }: NatsOptions): void {
  const others = servers.length > 1 || (nc?.info?.connect_urls?.length ?? 0) > 1;
  if (others) void nc?.reconnect().catch((error: unknown) => log.warn("nats server not left", { error }));
}

/** nats.js gives up on a server that refuses the login; so does it not when we dial. Undefined once `signal` fired. */
async function dial(options: NatsOptions, onFault: (error: Error) => void, signal: AbortSignal): Promise<NatsHandle | undefined> {
  const { servers, name, log } = options;
  for (let attempt = 1; !signal.aborted; attempt++) {
    const heard: { first?: Error; refusal?: Error } = {};
    try {
      const nc = await connect({
        servers: [...servers],
        name,
        timeout: CONNECT_TIMEOUT_MS,
        maxReconnectAttempts: -1,
        reconnectTimeWait: 250,
        reconnectJitter: 100,
        pingInterval: 2000,
        maxPingOut: 2,
        ignoreAuthErrorAbort: true,
        noAsyncTraces: true, // an Error for each request, for its stack, was a tenth of the leader's time
        ...withIdentity(options.connection, servers),
        onFault(error) {
          heard.first ??= error;
          if (isRefusal(error)) heard.refusal = error;
          onFault(error);
        },
      });
      const handle = {
        nc,
        js: jetstream(nc, { timeout: REQUEST_TIMEOUT_MS }),
        jsm: await jetstreamManager(nc, { checkAPI: false, timeout: REQUEST_TIMEOUT_MS }),
        bySequence: await jetstreamManager(nc, { checkAPI: false, timeout: READ_TIMEOUT_MS }),
      };
      if (!signal.aborted) return handle;
      await nc.close();
    } catch (error) {
      if (signal.aborted) break;
      const delayMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(attempt - 1, 6));
      const why = heard.refusal ?? (error instanceof Error && error.name === "TimeoutError" ? heard.first : undefined) ?? error;
      if (attempt === 1 || attempt % 10 === 0)
        log.warn("nats not reachable, trying again", { servers, attempt, reason: reasonOf(why), error: why });
      await pause(delayMs, signal);
    }
  }
  return undefined;
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
