import Table from "cli-table3";
import { exec } from "../adapter/exec.ts";
import type { Lab } from "../service/lab.ts";
import type { Outcome } from "./checks.ts";

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const t = new Table({ head: [...head], style: { head: ["cyan"], border: ["grey"] } });
  t.push(...rows.map((r) => [...r]));
  return t.toString();
}

export const heading = (text: string): string => `\n\u001b[1m${text}\u001b[0m`;

/** Each node's routing table, for the eye and for the checks. */
export async function readRoutes(lab: Lab): Promise<ReadonlyMap<string, string>> {
  const of = async (netns: string) => (await exec(["ip", "route"], { netns })).stdout.trim();
  return new Map(await Promise.all(lab.topology.nodes.map(async (n) => [n.name, await of(n.netns)] as const)));
}

const SEED: Readonly<Record<string, string>> = {
  node1: `default via 10.0.2.1 dev enp0s3
10.0.2.0/24 dev enp0s3 scope link src 10.0.2.6
192.168.81.0/24 dev enp0s8 scope link src 192.168.81.101
blackhole 192.200.59.192/26 proto bird
192.200.59.193 dev calidf072d3c423 scope link
192.200.59.198 dev cali0aa3720a2c7 scope link
192.200.203.0/26 via 192.168.81.102 dev tunl0 proto bird onlink`,
  node2: `default via 10.0.2.1 dev enp0s3
10.0.2.0/24 dev enp0s3 scope link src 10.0.2.7
192.168.81.0/24 dev enp0s8 scope link src 192.168.81.102
192.200.59.192/26 via 192.168.81.101 dev tunl0 proto bird onlink
blackhole 192.200.203.0/26 proto bird
192.200.203.4 dev cali7bb4560a7c2 scope link`,
};

export function showRoutes(routes: ReadonlyMap<string, string>): string {
  const rows = [...routes].map(([node, ours]) => [`${node}\n\n${ours}`, `the seed's\n\n${SEED[node] ?? "(the seed has two nodes)"}`]);
  return table(["routing table", "beside it"], rows);
}

export function showOutcomes(outcomes: readonly Outcome[]): string {
  return table(
    ["", "line", "from", "to", "want", "got", "ms"],
    outcomes.map(({ check, ok, got, ms }) => [
      ok ? "\u001b[32m✔\u001b[0m" : "\u001b[31m✘\u001b[0m",
      check.name,
      check.from,
      check.to,
      check.want,
      got.length > 72 ? `${got.slice(0, 71)}…` : got,
      ms === 0 ? "" : ms.toFixed(0),
    ]),
  );
}
