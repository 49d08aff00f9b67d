import type { KeyValue, Store } from "@calico/datastore";
import type { ControllerPorts } from "../ports.ts";
import { untilDone } from "./keep-going.ts";

export interface StoreListener {
  /** A record is as given; `undefined`: it is gone. */
  readonly onRecord: (key: string, record: KeyValue | undefined) => void;
  /** Everything that the list held was told; again after each list. */
  readonly onListed: () => void;
}

/** Every record under a prefix and what becomes of it, until the signal fires; what went unseen is told as gone. */
export async function followStore(
  ports: Omit<ControllerPorts, "store"> & { readonly store: Pick<Store, "list" | "watch"> },
  controller: string,
  o: { readonly prefix: string } & StoreListener,
): Promise<void> {
  const known = new Set<string>();
  const listAndWatch = async () => {
    const { items, revision } = await ports.store.list(o.prefix);
    const listed = new Set(items.map(({ key }) => key));
    for (const key of known) {
      if (listed.has(key)) continue;
      known.delete(key);
      o.onRecord(key, undefined);
    }
    for (const record of items) {
      known.add(record.key);
      o.onRecord(record.key, record);
    }
    o.onListed();
    for await (const change of ports.store.watch(o.prefix, { fromRevision: revision + 1, signal: ports.signal })) {
      if (change.kind === "compacted") return;
      if (change.kind === "progress") continue;
      if (change.kind === "put") known.add(change.key);
      else known.delete(change.key);
      o.onRecord(change.key, change.kind === "put" ? change : undefined);
    }
  };
  while (!ports.signal.aborted) await untilDone(ports, controller, listAndWatch);
}
