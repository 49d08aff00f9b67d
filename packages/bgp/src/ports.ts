/** What the speaker needs of the world: connections, time, and a kernel's routing table. */
import type { KernelRoute } from "./domain/kernel/desire.ts";
import type { Reachability } from "./domain/kernel/next-hop.ts";

export type Cancel = () => void;

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  after(ms: number, action: () => void): Cancel;
  /** At least 0, less than 1: for jitter. */
  random(): number;
}

/** One byte stream to a peer. */
export interface Conn {
  readonly remoteAddress: string;
  readonly localAddress: string;
  write(octets: Uint8Array): void;
  /** Send what was written, then end. `closed` is not called for it. */
  close(): void;
  /** Begin to hear: octets that came before are not lost. */
  attach(handlers: ConnHandlers): void;
}

export type ConnHandlers = { readonly received: (octets: Uint8Array) => void; readonly closed: (cause: string) => void };

export type DialTarget = { readonly address: string; readonly port: number; readonly source?: string };

export interface Transport {
  /** Exactly one of the callbacks is called, unless abandoned before. */
  dial(target: DialTarget, on: { readonly opened: (conn: Conn) => void; readonly failed: (cause: string) => void }): Cancel;
  /** Rejects if the port cannot be had. */
  listen(where: { readonly port: number; readonly address?: string }, accepted: (conn: Conn) => void): Promise<Listener>;
}

export interface Listener {
  close(): Promise<void>;
}

/** The kernel's main table, as far as it is ours, and what tells where next hops are. */
export type KernelView = { readonly own: readonly KernelRoute[]; readonly reach: Reachability };

export type RouteOp =
  /** Fails with `exists` if any route holds the place. */
  | { readonly do: "add"; readonly route: KernelRoute }
  | { readonly do: "replace"; readonly route: KernelRoute }
  | { readonly do: "delete"; readonly route: KernelRoute };

export type RouteOutcome = { readonly kind: "done" } | { readonly kind: "exists" } | { readonly kind: "failed"; readonly why: string };

export interface RouteKernel {
  read(): Promise<KernelView>;
  apply(ops: readonly RouteOp[]): Promise<readonly RouteOutcome[]>;
  /** From this call on. Ends when the signal aborts. */
  changes(signal: AbortSignal): AsyncIterable<KernelChange>;
}

/** `view`: links, addresses or routes of others are not what they were; `gone`: routes of ours were removed, perhaps by us. */
export type KernelChange = { readonly view: boolean; readonly gone: readonly string[] };
