/**
 * Time of one policy change in the calculation graph, kernel left out; and of one pod added. Run: `setup/run.sh packages/felix/test/bench.ts`.
 * Prints one line per size: medians of `ROUNDS` rounds.
 */
import process from "node:process";
import { aNamespaceProfile, aPolicy, aWep } from "@calico/model/testing";
import { vxlanMac } from "../src/adapter/vxlan-mac.ts";
import { Graph } from "../src/mod.ts";
import { deleted, updated } from "../src/testing.ts";

const ROUNDS = 40;

function pods(count: number) {
  return Array.from({ length: count }, (_, i) =>
    aWep({ node: "node1", pod: `pod-${i}`, ip: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, labels: { app: `app-${i % 10}` } }),
  );
}

function timed(action: () => void): number {
  const start = performance.now();
  action();
  return performance.now() - start;
}

const median = (values: readonly number[]): string => values.toSorted((a, b) => a - b)[values.length >> 1]!.toFixed(2);

for (const count of [100, 1000, 5000]) {
  const graph = new Graph({ node: "node1", macOf: vxlanMac });
  const weps = pods(count);
  const policy = (port: number, selector = "app == 'app-1'") =>
    aPolicy(
      "p",
      { selector, ingress: [{ action: "Allow", protocol: "TCP", source: { selector: "app == 'app-2'" }, destination: { ports: [port] } }] },
      "default",
    );
  const first = timed(() => {
    for (const object of [aNamespaceProfile("default"), ...weps]) graph.update(updated(object));
    graph.flush();
  });
  const step = (events: Parameters<Graph["update"]>[0][]) =>
    timed(() => {
      for (const event of events) graph.update(event);
      graph.flush();
    });
  graph.update(updated(policy(1)));
  graph.flush();
  const rule: number[] = [];
  const comes: number[] = [];
  const all: number[] = [];
  const pod: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    rule.push(step([updated(policy(2 + i))]));
    step([deleted(policy(1))]);
    comes.push(step([updated(policy(1))]));
    step([deleted(policy(1))]);
    if (i < 10) all.push(step([updated(policy(1, "all()"))]));
    step([updated(policy(1))]);
    step([deleted(weps[i]!)]);
    pod.push(step([updated(weps[i]!)]));
  }
  const rss = Math.round(process.memoryUsage().rss / 1e6);
  console.log(
    `${count} endpoints: first ${first.toFixed(0)} ms; a rule of a policy ${median(rule)} ms; a policy for 10 % of pods comes ${median(comes)} ms; for all ${median(all)} ms; a pod comes ${median(pod)} ms; rss ${rss} MB`,
  );
}
