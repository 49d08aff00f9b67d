import type { MetricSpec } from "@calico/daemon";

/** Every metric of the syncer. */
export const METRICS = [
  { name: "calico_syncer_leading", type: "gauge", help: "1 while this instance writes the log." },
  { name: "calico_syncer_revision", type: "gauge", help: "Newest etcd revision on the log." },
  { name: "calico_syncer_published_total", type: "counter", help: "Messages put on the log.", labels: ["op"] },
  { name: "calico_syncer_refused_total", type: "counter", help: "Keys passed over, by reason.", labels: ["reason"] },
  {
    name: "calico_syncer_resyncs_total",
    type: "counter",
    help: "Comparisons of log and store after the first, by reason.",
    labels: ["reason"],
  },
] as const satisfies readonly MetricSpec[];
