import { type DaemonOptions, etcdWasGiven, type Logger, type Metrics } from "@calico/daemon";
import type { EtcdAccess } from "@calico/datastore";
import type { Kind } from "@calico/model";
import type { HomingLimits } from "../domain/homing.ts";
import { type Feed, makeFeed } from "../service/feed.ts";
import { makeNatsReader } from "./nats-reader.ts";
import { type NatsOptions, openNats } from "./nats.ts";
import { makeStoreSource, noLog } from "./store-source.ts";

/** Endpoints of etcd, and the daemon's flags that say how it is let in. */
export interface EtcdFallback extends EtcdAccess {
  readonly endpoints: readonly string[];
}

/** The `etcd` of openFeed, from a daemon's flags: present if somebody said where etcd is. */
export function etcdFallback(options: DaemonOptions): EtcdFallback | undefined {
  const { etcd, etcdCa, etcdCert, etcdKey, etcdUser, etcdPasswordFile } = options;
  return etcdWasGiven(options) ? { endpoints: etcd, etcdCa, etcdCert, etcdKey, etcdUser, etcdPasswordFile } : undefined;
}

export interface FeedOptions {
  readonly servers: readonly string[];
  /** Who reads, as the server's monitoring shows it. */
  readonly name: string;
  readonly kinds: readonly Kind[];
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Where etcd is, to be read when the log is late for longer than the limit. Costs nothing until then. */
  readonly etcd?: EtcdFallback | undefined;
  readonly limits?: HomingLimits;
  /** Made with FEED_METRICS in its table. */
  readonly metrics?: Metrics;
  readonly connection?: NatsOptions["connection"];
}

/**
 * Events of the given kinds: snapshot, inSync, tail. Starts at once, also when nats or the log is not there yet.
 *
 * One consumer reads the whole log and kinds are picked here: nats-server 2.9 has no list of filters, and several
 * consumers would lose the order of revisions across kinds.
 */
export function openFeed(options: FeedOptions): Feed {
  const { servers, name, log, kinds, signal, connection, etcd, limits, metrics } = options;
  const nats = openNats({ servers, name, log, ...(connection && { connection }) });
  const fallback =
    etcd &&
    makeStoreSource(
      () => openStore(etcd, log),
      () => nats.maxPayload,
    );
  return makeFeed(makeNatsReader(nats, log), { kinds, signal, log, fallback, limits, metrics });
}

/** The same events from etcd alone. One watch per agent is what the log is there to avoid: for tools and for measuring beside the log. */
export function openEtcdFeed(options: Pick<FeedOptions, "kinds" | "signal" | "log"> & { readonly etcd: EtcdFallback }): Feed {
  const { kinds, signal, log, etcd } = options;
  return makeFeed(noLog, { kinds, signal, log, fallback: makeStoreSource(() => openStore(etcd, log)), first: "etcd" });
}

/** etcd3 is 26 MB: loaded when it is needed. */
async function openStore({ endpoints, ...access }: EtcdFallback, log: Logger) {
  const { etcdAccess, openEtcd } = await import("@calico/datastore");
  return openEtcd({ endpoints, log, ...etcdAccess(access) });
}
