/** A process that hosts consumers: `consumers.ts nats|etcd URL COUNT`. A line on stdin asks; each answer is one JSON line. */
import process from "node:process";
import { createInterface } from "node:readline";
import { openEtcdFeed, openFeed } from "@calico/bus";
import { makeLogger } from "@calico/daemon";

const [mode = "nats", url = "", count = "1"] = process.argv.slice(2);
const log = makeLogger({ component: "bench", level: "error" });
const { signal } = new AbortController();
const memoryBefore = process.memoryUsage().rss;
const started = performance.now();
let synced = 0;
let delivered = 0;
/** The newest revision of each consumer. */
const newest: number[] = [];
let syncedMs = 0;
/** Of the first consumer: when each revision came. */
let seen: [revision: number, atMs: number][] = [];

async function consume(i: number): Promise<void> {
  const name = `bench-${process.pid}-${i}`;
  const feed =
    mode === "nats"
      ? openFeed({ servers: [url], name, kinds: ["IPPool"], signal, log })
      : openEtcdFeed({ etcd: { endpoints: [url] }, kinds: ["IPPool"], signal, log });
  let tail = false;
  for await (const batch of feed) {
    const atMs = performance.timeOrigin + performance.now();
    for (const event of batch) {
      if (event.kind === "inSync" && !tail) {
        tail = true;
        synced++;
        syncedMs = performance.now() - started;
      } else if (tail && event.kind !== "inSync") {
        delivered++;
        newest[i] = event.revision;
        if (i === 0) seen.push([event.revision, atMs]);
      }
    }
  }
}

for (let i = 0; i < Number(count); i++) {
  newest.push(0);
  void consume(i);
}
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const rssMiB = (process.memoryUsage().rss - memoryBefore) / 2 ** 20;
    console.log(JSON.stringify({ synced, delivered, reached: Math.min(...newest), syncedMs, rssMiB, seen: line === "all" ? seen : [] }));
    if (line === "all") [seen, delivered] = [[], 0];
  })
  .on("close", () => process.exit(0));
