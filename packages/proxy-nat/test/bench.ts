/**
 * What one changed service costs, with N services of two endpoints in the kernel: medians of the calculation and of the write, each back end.
 * Run as root: node packages/proxy-nat/test/bench.ts [N…]. Works in a namespace of its own.
 */
import process from "node:process";
import { createNetns, deleteNetns, netnsPath, openIptables } from "@calico/linux";
import { makeNatCore } from "../src/mod.ts";
import { makeApplier } from "../src/service/applier.ts";
import { aService, aSlice } from "../src/testing.ts";

const ROUNDS = 15;
const sizes = process.argv.slice(2).map(Number);
const median = (values: readonly number[]) => (values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN).toFixed(1);

for (const backend of ["nft", "legacy"] as const)
  for (const size of sizes.length > 0 ? sizes : [100, 1000]) {
    const name = `proxynat-bench-${process.pid}`;
    await createNetns(name);
    try {
      console.log(JSON.stringify({ backend, services: size, ...(await measure(backend, size, netnsPath(name))) }));
    } finally {
      await deleteNetns(name);
    }
  }

async function measure(backend: "nft" | "legacy", size: number, netns: string) {
  const tables = openIptables({ backend, netnsPath: netns });
  const applier = makeApplier([tables]);
  const core = makeNatCore({ node: "n1", clusterCidrs: [], families: [4] });
  for (let i = 0; i < size; i++) {
    core.update(aService(`ns/s${i}`, { ip: `10.${96 + (i % 16)}.${(i * 7) % 256}.${(i * 13) % 256}` }));
    core.update(aSlice(`ns/s${i}`, { endpoints: ["192.200.0.1", "192.200.0.2"] }));
  }
  const began = performance.now();
  core.flush();
  const calculated = performance.now();
  await applier.resync(core.chains().values());
  const written = performance.now();
  await applier.resync(core.chains().values());
  const compared = performance.now();
  const calc: number[] = [];
  const kernel: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    core.update(aSlice(`ns/s${round}`, { endpoints: ["192.200.0.1", `192.200.1.${round}`] }));
    const start = performance.now();
    const changes = core.flush();
    const flushed = performance.now();
    await applier.apply(changes);
    calc.push(flushed - start);
    kernel.push(performance.now() - flushed);
  }
  return {
    firstCalcMs: (calculated - began).toFixed(0),
    firstWriteMs: (written - calculated).toFixed(0),
    compareMs: (compared - written).toFixed(0),
    changeCalcMs: median(calc),
    changeKernelMs: median(kernel),
  };
}
