/** `node packages/cni/test/measure.ts [N]`: time of ADD and DEL through the executable, and the daemons' memory. As root. */
import process from "node:process";
import { startNode } from "../src/testing/node-kit.ts";

const N = Number(process.argv[2] ?? 100);
await using node = await startNode();
await node.start("ipam");
await node.start("cni", "--policy-wait-ms", "0");
const times: Record<string, number[]> = { ADD: [], DEL: [], VERSION: [] };
console.log({ idle: { ipamMb: await node.rssMb("ipam"), cniMb: await node.rssMb("cni") } });
for (let i = 0; i < N; i++) {
  const pod = `m${i}`;
  await node.podNetns(pod);
  for (const command of ["ADD", "DEL", "VERSION"]) {
    const done = await node.cni({ pod, command });
    if (done.exit !== 0) throw new Error(`${command} failed: ${done.stdout}`);
    times[command]?.push(done.ms);
  }
  await node.dropPodNetns(pod);
}
for (const [command, ms] of Object.entries(times)) {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (q: number) => Math.round((sorted[Math.floor(q * sorted.length)] ?? 0) * 10) / 10;
  console.log({ command, n: ms.length, minMs: at(0), medianMs: at(0.5), p99Ms: at(0.99) });
}
const inAgent = [...node.log("cni").matchAll(/"command":"(ADD|DEL)".*?"durationMs":(\d+)/g)].map((m) => [m[1], Number(m[2])] as const);
for (const command of ["ADD", "DEL"]) {
  const ms = inAgent.flatMap(([c, d]) => (c === command ? [d] : [])).toSorted((a, b) => a - b);
  console.log({ inAgent: command, n: ms.length, minMs: ms[0], medianMs: ms[Math.floor(ms.length / 2)] });
}
console.log({ after: { ipamMb: await node.rssMb("ipam"), cniMb: await node.rssMb("cni") } });
