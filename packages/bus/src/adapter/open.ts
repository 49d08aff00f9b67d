import type { Logger } from "@calico/daemon";
import type { Kind } from "@calico/model";
import { type Feed, makeFeed } from "../service/feed.ts";
import { makeNatsReader } from "./nats-reader.ts";
import { type NatsOptions, openNats } from "./nats.ts";

export interface FeedOptions {
  readonly servers: readonly string[];
  /** Who reads, as the server's monitoring shows it. */
  readonly name: string;
  readonly kinds: readonly Kind[];
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly connection?: NatsOptions["connection"];
}

/**
 * Events of the given kinds: snapshot, inSync, tail. Starts at once, also when nats or the log is not there yet.
 *
 * One consumer reads the whole log and kinds are picked here: nats-server 2.9 has no list of filters, and several
 * consumers would lose the order of revisions across kinds.
 */
export function openFeed(options: FeedOptions): Feed {
  const { servers, name, log, kinds, signal, connection } = options;
  const nats = openNats({ servers, name, log, ...(connection && { connection }) });
  return makeFeed(makeNatsReader(nats, log), { kinds, signal, log });
}
