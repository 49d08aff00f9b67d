import type { Logger, Metrics } from "@calico/daemon";
import type { NatCore, Problem } from "../domain/core.ts";
import type { MetricName } from "../metrics.ts";
import type { Clock, Reporter } from "../ports.ts";
import type { Pass } from "./pass.ts";

export interface ProxyState {
  readonly inSync: boolean;
  readonly revision: number;
  /** Why the last pass failed; undefined if it did not. */
  readonly failure: string | undefined;
}

/** Says what happened: log, metrics, and the bus. */
export interface Recorder {
  refused(problem: Problem): void;
  passed(pass: Pass, at: { readonly revision: number; readonly queuedMs: number }): void;
  failed(error: unknown, attempt: number): void;
  status(state: ProxyState): void;
}

export function makeRecorder(
  ports: {
    readonly core: NatCore;
    readonly reporter: Reporter;
    readonly metrics: Pick<Metrics, "inc" | "set" | "observe">;
    readonly clock: Clock;
    readonly log: Logger;
  },
  who: { readonly version: string },
): Recorder {
  const { core, reporter, clock, log } = ports;
  const inc = (name: MetricName, by = 1) => ports.metrics.inc(name, {}, by);
  const set = (name: MetricName, value: number) => ports.metrics.set(name, value);
  const observe = (name: MetricName, ms: number) => ports.metrics.observe(name, ms / 1000);

  function count(pass: Pass): void {
    observe(
      pass.full ? "kubeproxy_sync_full_proxy_rules_duration_seconds" : "kubeproxy_sync_proxy_rules_duration_seconds",
      pass.calcMs + pass.kernelMs,
    );
    set("kubeproxy_sync_proxy_rules_last_timestamp_seconds", Date.parse(clock.timestamp()) / 1000);
    inc("calinat_chains_written_total", pass.written.length);
    inc("calinat_drift_repaired_total", pass.repaired.length);
    inc("calinat_conntrack_forgotten_total", pass.forgottenFlows);
    set("calinat_services", core.counts().services);
    set("calinat_endpoint_slices", core.counts().slices);
  }

  return {
    refused(problem) {
      inc("calinat_objects_refused_total");
      log.warn("object refused; its service is left out", { key: problem.key, reason: problem.reason });
    },
    passed(pass, { revision, queuedMs }) {
      count(pass);
      const { written, repaired, calcMs, kernelMs, services, forgottenFlows } = pass;
      if (repaired.length > 0) log.warn("drift repaired", { repaired });
      if (written.length > 0) log.info("services programmed", { services, chains: written.length, revision, calcMs, kernelMs });
      if (forgottenFlows > 0) log.info("stale udp flows forgotten", { flows: forgottenFlows });
      if (written.length + repaired.length === 0) return;
      const stages = { busMs: queuedMs, calcMs, kernelMs };
      reporter.applied({ revision, stages, changed: written, repaired, at: clock.timestamp() });
    },
    failed(error, attempt) {
      inc("kubeproxy_sync_proxy_rules_iptables_restore_failures_total");
      log.error("service rules could not be brought into the kernel; trying again", { error, attempt });
    },
    status({ inSync, revision, failure }) {
      const detail = { ...core.counts(), ...(failure === undefined ? {} : { failure }) };
      reporter.status({
        healthy: failure === undefined,
        inSync,
        revision,
        version: who.version,
        detail,
        at: clock.timestamp(),
      });
    },
  };
}
