import process from "node:process";
import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** One row of a daemon's metrics table. Units are in the name: `_seconds`, `_octets`, `_total`. */
export interface MetricSpec {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels?: readonly string[];
  readonly buckets?: readonly number[];
}

type Labels = Readonly<Record<string, string>>;

export interface Metrics {
  inc(name: string, labels?: Labels, by?: number): void;
  set(name: string, value: number, labels?: Labels): void;
  observe(name: string, value: number, labels?: Labels): void;
  /** Text in Prometheus' exposition format. */
  print(): Promise<string>;
}

/** A registry of its own, filled from the table. A name that is not in the table throws: it is a bug. */
export function makeMetrics(table: readonly MetricSpec[]): Metrics {
  const registry = new Registry();
  const rss: Gauge = new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory of the process.",
    registers: [registry],
    collect: (): void => rss.set(process.memoryUsage().rss),
  });
  const counters = new Map<string, Counter>();
  const gauges = new Map<string, Gauge>();
  const histograms = new Map<string, Histogram>();
  for (const { name, type, help, labels = [], buckets } of table) {
    const config = { name, help, labelNames: [...labels], registers: [registry] };
    if (type === "counter") counters.set(name, new Counter(config));
    else if (type === "gauge") gauges.set(name, new Gauge(config));
    else histograms.set(name, new Histogram({ ...config, ...(buckets === undefined ? {} : { buckets: [...buckets] }) }));
  }
  return {
    inc: (name, labels = {}, by = 1) => metric(counters, name).inc(labels, by),
    set: (name, value, labels = {}) => metric(gauges, name).set(labels, value),
    observe: (name, value, labels = {}) => metric(histograms, name).observe(labels, value),
    print: () => registry.metrics(),
  };
}

function metric<M>(from: ReadonlyMap<string, M>, name: string): M {
  const found = from.get(name);
  if (found === undefined) throw new Error(`Cannot record metric "${name}": it is not in the daemon's metrics table`);
  return found;
}
