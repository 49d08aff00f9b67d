/** What the suite measures with: an etcd of its own, nodes as their daemon runs them, and a peer that does the least that any allocator on etcd does. */
import { readFileSync } from "node:fs";
import { openEtcd, type Store, type TxnResult } from "@calico/datastore";
import { startEtcd } from "@calico/datastore/testing";
import { factPrefixes, makeIpam, openMirror, type IpamLibrary } from "@calico/ipam";
import { keyOf } from "@calico/model";

/** Few connections, as many nodes share one etcd but not one socket, and this process is one. */
const CONNECTIONS = 4;

export type World = {
  readonly stores: readonly Store[];
  readonly end: AbortController;
  /** Processor time that etcd took so far. */
  readonly etcdCpuMs: () => number;
} & AsyncDisposable;

export async function openWorld(): Promise<World> {
  const etcd = await startEtcd();
  const stores = Array.from({ length: CONNECTIONS }, () => openEtcd({ endpoints: etcd.endpoints }));
  const end = new AbortController();
  return {
    stores,
    end,
    etcdCpuMs: () => cpuMs(etcd.pid),
    async [Symbol.asyncDispose]() {
      end.abort();
      await Promise.all(stores.map((s) => s.close()));
      await etcd.stop();
    },
  };
}

/** User and system time of a process; the kernel counts in hundredths of a second. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

export type Counts = { txns: number; conflicts: number; reads: number; written: number; isOn: boolean };

export const noCounts = (): Counts => ({ txns: 0, conflicts: 0, reads: 0, written: 0, isOn: true });

export type Node = { readonly name: string; readonly ipam: IpamLibrary };

/** A node as its daemon is: the library over a mirror of what it decides on. */
export async function openNode(world: World, name: string, { store, counts }: { store: Store; counts: Counts }): Promise<Node> {
  const synced = Promise.withResolvers<void>();
  const mirror = openMirror(store, {
    prefixes: factPrefixes(name),
    signal: world.end.signal,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    onChange: () => mirror.inSync() && synced.resolve(),
  });
  await synced.promise;
  const read = <T>(value: T): T => ((counts.reads += counts.isOn ? 1 : 0), value);
  const counted = {
    get: (key: string) => read(store.get(key)),
    list: (prefix: string) => read(store.list(prefix)),
    async txn(txn: Parameters<Store["txn"]>[0]): Promise<TxnResult> {
      const done = await mirror.txn(txn);
      if (!counts.isOn) return done;
      counts.txns++;
      if (!done.succeeded) counts.conflicts++;
      for (const op of txn.success) counts.written += op.do === "put" ? op.value.length : 0;
      return done;
    },
  };
  return { name, ipam: makeIpam({ store: counted, reader: mirror }) };
}

export async function putPool(store: Store, name: string, spec: object): Promise<void> {
  const pool = { kind: "IPPool", apiVersion: "projectcalico.org/v3", metadata: { name }, spec };
  await store.put(keyOf({ kind: "IPPool", name }), JSON.stringify(pool));
}

/** One address as the CNI plugin asks for it. */
export async function assign(node: Node, id: string): Promise<void> {
  const handle = handleOf(node, id);
  const attrs = { pod: `pod-${id}`, namespace: "default", node: node.name, timestamp: "2026-01-01 00:00:00.123 +0000 UTC" };
  const got = await node.ipam.autoAssign({ node: node.name, num4: 1, num6: 0, handle, attrs, use: "Workload", maxPerHandle: 1 });
  if (!got.ok) throw new Error(`Cannot measure: ${got.error.message}`);
  if (got.value.v4.ips.length !== 1) throw new Error(`Cannot measure: ${got.value.v4.messages.join("; ")}`);
}

export async function release(node: Node, id: string): Promise<void> {
  const done = await node.ipam.releaseByHandle(handleOf(node, id));
  if (!done.ok) throw new Error(`Cannot measure: ${done.error.message}`);
}

/** As long as those of containers. */
function handleOf(node: Node, id: string): string {
  return `k8s-pod-network.${`${node.name}-${id}-`.padEnd(64, "0")}`;
}

export type Peer = (id: string) => Promise<void>;

/** A worker with a key of its own, which it compares and writes together with a new handle's; `octets` in both. */
export function makePeer(store: Store, name: string, octets: number): Peer {
  const handleValue = '{"block":{"10.0.0.0/26":1},"deleted":false}';
  const value = "x".repeat(Math.max(0, Math.round(octets) - handleValue.length));
  let revision = 0;
  return async (id) => {
    const key = `/peer/block/${name}`;
    const handle = `/peer/handle/${`${name}-${id}-`.padEnd(80, "0")}`;
    const done = await store.txn({
      compares: [
        { key, target: "modRevision", is: "==", revision },
        { key: handle, target: "modRevision", is: "==", revision: 0 },
      ],
      success: [
        { do: "put", key, value },
        { do: "put", key: handle, value: handleValue },
      ],
      failure: [{ do: "get", key }],
    });
    if (!done.succeeded) throw new Error("Cannot measure: the peer met a conflict on its own key");
    revision = done.revision;
  };
}
