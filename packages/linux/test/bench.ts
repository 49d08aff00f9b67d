/** Measures the package on this runtime, in namespaces of its own: memory of the import, wiring of a pod, a batch of 1,000 routes. As root. */
import type { Netlink } from "../src/mod.ts";

const rss = () => Math.round(process.memoryUsage().rss / 1024 / 1024);
const before = rss();
const { createNetns, deleteNetns, netnsPath, openNetlink, writeSysctl } = await import("../src/mod.ts");
const imported = rss();

const PODS = 100;
const ROUTES = 1_000;
const own = `linux-bench-${process.pid}`;
const pod = `${own}-pod`;
await createNetns(own);
await createNetns(pod);
try {
  using nl = openNetlink({ netnsPath: netnsPath(own) });
  const opened = rss();
  const wiring: number[] = [];
  for (let i = 0; i < PODS; i++) wiring.push(await timed(() => wirePod(nl, i)));
  const routes = Array.from({ length: ROUTES }, (_, i) => ({
    dst: `10.${i >> 8}.${i & 255}.0/26`,
    type: "blackhole" as const,
    protocol: 179,
  }));
  const writing: number[] = [];
  const reading: number[] = [];
  for (let round = 0; round < 10; round++) {
    writing.push(await timed(async () => fail(await nl.apply(routes.map((route) => ({ do: "replaceRoute", route }))))));
    reading.push(await timed(() => nl.routes({ protocol: 179 })));
  }
  const rows = {
    runtime: "Deno" in globalThis ? "deno" : "node",
    rssMb: { before, imported, opened, end: rss() },
    podWiringMs: quantiles(wiring),
    routeBatch1000Ms: quantiles(writing),
    routesPerSecond: Math.round((ROUTES / median(writing)) * 1000),
    routeDump1000Ms: quantiles(reading),
  };
  process.stdout.write(`${JSON.stringify(rows, undefined, 1)}\n`);
} finally {
  await deleteNetns(own);
  await deleteNetns(pod);
}

/** What a CNI ADD does with netlink: veth across namespaces, sysctls, address and routes inside, route outside. */
async function wirePod(nl: Netlink, i: number): Promise<void> {
  const ip = `10.200.0.${i + 1}`;
  const name = `cali${i}`;
  await nl.addLink({
    kind: "veth",
    name,
    mac: "ee:ee:ee:ee:ee:ee",
    up: true,
    numTxQueues: 1,
    numRxQueues: 1,
    peer: { name: `eth${i}`, netns: netnsPath(pod) },
  });
  writeSysctl(`net/ipv4/conf/${name}/proxy_arp`, 1, { netnsPath: netnsPath(own) });
  writeSysctl(`net/ipv4/neigh/${name}/proxy_delay`, 0, { netnsPath: netnsPath(own) });
  using inside = openNetlink({ netnsPath: netnsPath(pod) });
  fail(
    await inside.apply([
      { do: "setLink", link: `eth${i}`, set: { up: true } },
      { do: "replaceAddress", link: `eth${i}`, cidr: `${ip}/32` },
      {
        do: "replaceRoute",
        route: { dst: "169.254.1.1/32", type: "unicast", dev: `eth${i}`, scope: "link", protocol: 3, table: 1000 + i },
      },
      { do: "replaceNeighbour", neighbour: { link: `eth${i}`, ip: "169.254.1.1", mac: "ee:ee:ee:ee:ee:ee" } },
    ]),
  );
  await nl.replaceRoute({ dst: `${ip}/32`, type: "unicast", dev: name, scope: "link", protocol: 3, metric: 1024 });
}

function fail(results: readonly { readonly ok: boolean; readonly error?: unknown }[]): void {
  for (const result of results) if (!result.ok) throw result.error;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

function quantiles(values: readonly number[]): { min: number; median: number; max: number } {
  const round = (value: number) => Math.round(value * 100) / 100;
  return { min: round(Math.min(...values)), median: round(median(values)), max: round(Math.max(...values)) };
}
