import { once } from "node:events";
import { startCluster } from "./cluster.ts";
import { planInNamespaces, planOnLoopback } from "./plan.ts";

/** `lab cluster`: both clusters until the signal, with what to type to use them. */
export async function runCluster(o: {
  readonly id: string;
  readonly namespaces: boolean;
  readonly basePort: number;
  readonly signal: AbortSignal;
}): Promise<void> {
  const plan = o.namespaces ? planInNamespaces(o.id) : planOnLoopback(o.id, o.basePort);
  await using cluster = await startCluster(plan);
  await cluster.ready(o.signal);
  const { etcd, nats, pids } = cluster;
  const inside = plan.net === undefined ? "" : `nsenter --net=/run/netns/${plan.net.clientNetns} `;
  console.log(`etcd: ${etcd.join()}\nnats: ${nats.join()}`);
  for (const p of pids) console.log(`${p.member}: etcd pid ${p.etcd}, nats-server pid ${p.nats}`);
  console.log(`the syncer (any number of them, one leads):
  ${inside}setup/run.sh packages/bus/src/main.ts --replicas 3 --node $(hostname)-1 --etcd ${etcd.join()} --nats ${nats.join()}
ready; interrupt to end`);
  if (!o.signal.aborted) await once(o.signal, "abort");
}
