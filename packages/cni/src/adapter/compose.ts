/** The real world behind the ports; the same for the agent and the executable by itself. */
import { join } from "node:path";
import { type EtcdOptions, resourceClient } from "@calico/datastore";
import { makeIpam, makeTargetCache, openIpamClient, openTarget } from "@calico/ipam";
import type { EtcdTarget } from "@calico/ipam";
import { CniFault } from "../domain/fault.ts";
import type { Datastore, Ports } from "../ports.ts";
import { allocationsOf, handlesOf } from "../service/allocations.ts";
import { openDeleteQueue } from "./delete-queue.ts";
import { execPlugin } from "./exec-plugin.ts";
import { files, untilFile } from "./files.ts";
import { appendToLog } from "./log-file.ts";
import { openKernel } from "./kernel.ts";
import { openKubeClients } from "./kube.ts";
import type { KubeClients } from "./kube.ts";
import { isReady } from "./readiness.ts";
import { shareReads } from "./shared-reads.ts";

/** Bounds what one operation on an etcd that is away costs; DEL must be over within 10 s. */
const ETCD_TIMEOUT_MS = 4000;

export type WorldOptions = {
  readonly runDir: string;
  /** Used when the configuration names no etcd. */
  readonly defaultEtcd: EtcdTarget | undefined;
  readonly agentKubeconfig: string | undefined;
  /** This process's own login to etcd; a certificate is named by the configuration. */
  readonly etcdAuth?: EtcdOptions["auth"];
};

export interface World extends Ports, AsyncDisposable {
  tokenExpiry: KubeClients["tokenExpiry"];
}

export function openWorld(o: WorldOptions): World {
  const stack = new AsyncDisposableStack();
  const kernel = stack.use(openKernel());
  const kube = stack.use(openKubeClients({ agentKubeconfig: o.agentKubeconfig }));
  const opened = makeTargetCache({
    open: (target) => openDatastore(target, o, stack),
    close: ({ close }) => void close(),
  });
  return {
    kernel,
    files,
    untilFile,
    execPlugin,
    podOf: kube.podOf,
    namespaceOf: kube.namespaceOf,
    vmiOf: kube.vmiOf,
    vmOf: kube.vmOf,
    podCidrsOf: kube.podCidrsOf,
    tokenExpiry: kube.tokenExpiry,
    isReady,
    appendToLog,
    deletes: openDeleteQueue(join(o.runDir, "cni-deletes")),
    clock: { now: () => performance.timeOrigin + performance.now(), pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)) },
    datastoreOf(target) {
      const wanted = target ?? o.defaultEtcd;
      if (wanted === undefined)
        throw new CniFault(
          "invalidConfig",
          "invalid network configuration: etcd_endpoints: is missing",
          "expected for example http://10.96.232.136:6666",
        );
      return opened(wanted);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function openDatastore(
  target: EtcdTarget,
  o: Pick<WorldOptions, "runDir" | "etcdAuth">,
  stack: AsyncDisposableStack,
): Datastore & { close(): Promise<void> } {
  const store = openTarget(target, { timeoutMs: ETCD_TIMEOUT_MS, ...(o.etcdAuth && { auth: o.etcdAuth }) });
  const ipam = openIpamClient({ socketPath: join(o.runDir, "ipam.sock"), etcd: target, fallback: () => makeIpam({ store }) });
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    await ipam[Symbol.asyncDispose]();
    await store.close();
  };
  stack.defer(close);
  return {
    ...{ resources: shareReads(resourceClient(store)), ipam, close },
    allocationsOf: (node) => allocationsOf(store, node),
    handlesOf: (owner) => handlesOf(store, owner),
  };
}
