import { type Logger, makeLogger } from "@calico/daemon";
import { type EtcdOptions, openEtcd } from "@calico/datastore";
import { makeNatsLog } from "../adapter/nats-log.ts";
import { openNats } from "../adapter/nats.ts";
import { runSyncer, type SyncerObserver } from "../service/syncer.ts";

/** A real syncer inside the test's process, between a real etcd and a real nats-server. Dispose to stop it. */
export function openTestSyncer(options: {
  readonly etcd: readonly string[];
  readonly nats: readonly string[];
  readonly auth?: EtcdOptions["auth"];
  readonly id?: string;
  readonly adopt?: string;
  readonly log?: Logger;
  readonly observer?: Partial<SyncerObserver>;
}): AsyncDisposable {
  const { id = "test-syncer", log: logger = makeLogger({ component: id, level: "error" }), observer, adopt } = options;
  const abort = new AbortController();
  const store = openEtcd({ endpoints: options.etcd, log: logger, ...(options.auth && { auth: options.auth }) });
  const nats = openNats({ servers: options.nats, name: id, log: logger });
  const log = makeNatsLog(nats, { signal: abort.signal });
  const running = runSyncer({ store, log, logger, id, signal: abort.signal, adopt, ...(observer && { observer }) });
  return {
    async [Symbol.asyncDispose]() {
      abort.abort();
      await running;
      await nats.close();
      await store.close();
    },
  };
}
