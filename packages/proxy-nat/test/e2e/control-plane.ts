/**
 * etcd, nats-server and a syncer inside one namespace, for the daemon as it is run. Prints `{"nats": […]}` when it is up; then each line on
 * stdin `{key, value?}` is put into etcd (no value: deleted) and answered with its revision.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { openTestSyncer, startNats } from "@calico/bus/testing";
import { recordingLogger } from "@calico/daemon/testing";
import { openEtcd } from "@calico/datastore";
import { startEtcd } from "@calico/datastore/testing";

await using etcd = await startEtcd();
await using nats = await startNats();
await using _syncer = openTestSyncer({ etcd: etcd.endpoints, nats: nats.servers });
await using stack = new AsyncDisposableStack();
const store = openEtcd({ endpoints: etcd.endpoints, log: recordingLogger() });
stack.defer(() => store.close());
process.stdout.write(`${JSON.stringify({ nats: nats.servers })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const { key, value } = JSON.parse(line) as { key: string; value?: unknown };
  if (value === undefined) await store.delete(key);
  else await store.put(key, JSON.stringify(value));
  process.stdout.write(`${JSON.stringify({ done: key })}\n`);
}
