import type { KubeClient } from "@calico/kube-client";
import type { Logger, Metrics } from "@calico/daemon";
import type { ResourceClient, Store } from "@calico/datastore";

/** What every controller is given. */
export interface ControllerPorts {
  readonly kube: Pick<KubeClient, "list" | "watch">;
  readonly store: Pick<Store, "list" | "watch">;
  readonly datastore: Pick<ResourceClient, "get" | "list" | "apply" | "update" | "delete">;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "inc" | "set">;
  readonly clock: () => number;
  readonly signal: AbortSignal;
  /** Between full comparisons. Source: facts §7.1.1 (RECONCILER_PERIOD). */
  readonly reconcileMs: number;
}

export interface ControllerStatus {
  readonly inSync: boolean;
  /** Keys that wait for their write, and those of them that failed at least once. */
  readonly pending: number;
  readonly failing: number;
  /** What a person must act on, the first few in words: which object, and what is wrong with it. */
  readonly problems?: readonly string[];
}

/** One loop: from the API server to the datastore. */
export interface Controller {
  readonly name: string;
  status(): ControllerStatus;
  /** Resolves when the signal fires. */
  run(): Promise<void>;
}
