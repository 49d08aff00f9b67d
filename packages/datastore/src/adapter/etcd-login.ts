/**
 * Logging in to etcd by user and password: a token, sent with every call.
 *
 * etcd3 has this too, but logs in over a channel without our options (an address in `--etcd` then fails on Deno), asks for no new
 * token when a stream finds the old one lapsed, and never closes that channel.
 */
import { readFileSync } from "node:fs";
import type { Etcd3 } from "etcd3";

export interface EtcdUser {
  readonly username: string;
  readonly password: string;
}

/** The password is read at each login, so that it can be replaced without a restart. */
export interface EtcdUserFile {
  readonly username: string;
  readonly passwordFile: string;
}

export interface EtcdLogin {
  /** Resolves when there is a token, or etcd wants none; throws etcd's fault. */
  ready(etcd: Etcd3, deadline: Date): Promise<void>;
  /** The token of the next call. */
  token(): string | undefined;
  /** `used` is no longer taken: the next `ready` asks for another. */
  forget(used: string | undefined): void;
}

export function makeLogin({ username, ...secret }: EtcdUser | EtcdUserFile): EtcdLogin {
  const password = "password" in secret ? () => secret.password : () => readFileSync(secret.passwordFile, "utf8").trimEnd();
  let asked: Promise<void> | undefined;
  let token: string | undefined;
  const ask = async (etcd: Etcd3, deadline: Date): Promise<void> => {
    try {
      token = (await etcd.auth.authenticate({ name: username, password: password() }, { deadline })).token;
    } catch (error) {
      if (!isAuthOff(error)) {
        asked = undefined;
        throw error;
      }
    }
  };
  return {
    ready: (etcd, deadline) => (asked ??= ask(etcd, deadline)),
    token: () => token,
    forget(used) {
      if (used !== token) return; // somebody has asked for another since
      token = undefined;
      asked = undefined;
    },
  };
}

/** A cluster that does not ask who one is takes everybody, as with Calico's own client. */
function isAuthOff(error: unknown): boolean {
  return error instanceof Error && error.message.includes("authentication is not enabled");
}

type Metadata = { set(name: string, value: string): void };
type Status = { readonly details: string };
type Listener = { readonly [M in "onReceiveMetadata" | "onReceiveMessage"]?: (value: unknown) => void } & {
  onReceiveStatus?(status: Status): void;
};
type Call = { start(metadata: Metadata, listener?: Listener): void };

/** gRPC client options that put the token on every call, streams too. */
export function tokenOptions(login: EtcdLogin): Readonly<Record<string, unknown>> {
  const interceptor = (options: { readonly method_definition: { readonly path: string } }, next: (o: object) => Call): Call => {
    const call = next(options);
    const start = call.start.bind(call);
    call.start = (metadata, listener) => {
      const token = login.token();
      if (token !== undefined && !options.method_definition.path.endsWith("/Authenticate")) metadata.set("token", token);
      start(metadata, listener && withoutRepeats(listener));
    };
    return call;
  };
  return { interceptors: [interceptor] };
}

/** etcd3 repeats a call without end that is refused by exactly this text, and its own login would not change anything. */
function withoutRepeats(listener: Listener): Listener {
  return {
    onReceiveMetadata: (metadata) => listener.onReceiveMetadata?.(metadata),
    onReceiveMessage: (message) => listener.onReceiveMessage?.(message),
    onReceiveStatus: (status) =>
      listener.onReceiveStatus?.({ ...status, details: status.details.replace("etcdserver: invalid auth token", "invalid auth token") }),
  };
}
