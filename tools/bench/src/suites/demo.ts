import process from "node:process";
import { bringUpDemo, connectivityChecks, followApplied, type Lab, openLabeller, readProcesses, runCheck } from "@calico/lab";
import { percentile, plain, type Row, type Suite, type SuiteOptions } from "../row.ts";

const GOAL_MATRIX_S = 30;
const GOAL_NODE_MB = 500;

/** The demonstration's own figures: how long until it stands, what its processes hold in memory, how fast changes reach the kernel. */
export const demo: Suite = {
  description: "time to the connectivity matrix, memory per process, delay from a change's commit to the kernel",
  async run(options) {
    options.progress("two nodes");
    const started = performance.now();
    await using lab = await bringUpDemo({ id: `bench-${process.pid}`, encap: "auto", signal: options.signal, quiet: true });
    options.progress("connectivity matrix");
    for (const check of connectivityChecks(lab)) {
      const { ok, got } = await runCheck(check, 10_000);
      if (!ok) throw new Error(`Cannot measure: the line "${check.name}" of the matrix does not hold: ${got}`);
    }
    const matrix = plain("time to matrix", (performance.now() - started) / 1000, "s", GOAL_MATRIX_S);
    const delays = await labelDelays(lab, options);
    return [matrix, ...memory(lab), ...delays];
  },
};

function memory(lab: Lab): readonly Row[] {
  const processes = readProcesses(lab.topology);
  const each = processes.map((p) => plain(`resident memory: ${p.name}`, p.rssMb, "MB"));
  const sumOf = (of: readonly (typeof processes)[number][]) => of.reduce((total, p) => total + p.rssMb, 0);
  const sums = lab.topology.nodes.flatMap((node) => {
    const all = processes.filter((p) => p.node === node.name);
    const daemons = all.filter((p) => !p.name.endsWith("/kubelet")); // the kubelet is the lab's, not a part of the product
    return [
      plain(`resident memory: the five daemons of ${node.name}`, sumOf(daemons), "MB", GOAL_NODE_MB),
      plain(`resident memory: ${node.name} with the lab's kubelet`, sumOf(all), "MB"),
    ];
  });
  return [...each, ...sums];
}

/** Give a pod a label that a policy selects by, and take it away; each time from the request to felix's report on the node of the policy's pod. */
async function labelDelays(lab: Lab, { quick, progress, signal }: SuiteOptions): Promise<readonly Row[]> {
  await using applied = await followApplied(lab.endpoints.nats, lab.environment);
  using labeller = openLabeller(lab);
  const node = lab.topology.nodes[1]?.name;
  const total: number[] = [];
  const stages = { busMs: [] as number[], calcMs: [] as number[], kernelMs: [] as number[] };
  const rounds = quick ? 6 : 60;
  for (let i = 0; i < rounds; i++) {
    progress(`label change ${i + 1} of ${rounds}`);
    const sent = await labeller.set("client-1", "access", i % 2 === 0 ? "granted" : null);
    const [report] = await applied.changesSince(sent, { withinMs: 10_000, ...(node === undefined ? {} : { node }) });
    if (report === undefined) throw new Error(`Cannot measure: no report of felix on ${node} within 10 s of change ${i + 1}`);
    signal.throwIfAborted();
    total.push(Date.parse(report.at) - sent);
    for (const stage of ["busMs", "calcMs", "kernelMs"] as const) stages[stage].push(report.stages[stage]);
  }
  const both = (name: string, values: readonly number[]) => [
    plain(`${name}, p50`, percentile(values, 50), "ms"),
    plain(`${name}, p99`, percentile(values, 99), "ms"),
  ];
  return [
    ...both("label change: request to the API → kernel", total),
    ...both("label change: etcd commit → felix (bus)", stages.busMs),
    ...both("label change: calculation", stages.calcMs),
    ...both("label change: kernel", stages.kernelMs),
  ];
}
