import type { KubeObject } from "@calico/kube-client";
import type { Container } from "./images.ts";
import type { HostPort, PodRecord } from "./records.ts";

export interface PodContainer extends Container {
  readonly env: Readonly<Record<string, string>>;
  /** The TCP port that must accept before the pod is ready. */
  readonly readyPort: number | undefined;
}

/** What the kubelet keeps of a Pod. */
export interface PodSpec {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly deleting: boolean;
  readonly hostNetwork: boolean;
  readonly ownDns: boolean;
  readonly containers: readonly PodContainer[];
  readonly hostPorts: readonly HostPort[];
}

interface RawContainer {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly containerPort: number; readonly hostPort?: number; readonly protocol?: string }[];
  readonly readinessProbe?: { readonly tcpSocket?: { readonly port: number }; readonly httpGet?: { readonly port: number } };
}

/** A probe by named port is not one that this kubelet can make; such a pod is ready when it runs. */
export function podSpecOf(pod: KubeObject): PodSpec {
  const spec = pod.spec as { containers: readonly RawContainer[]; hostNetwork?: boolean; dnsPolicy?: string };
  const containers = spec.containers.map((c): PodContainer => {
    const port = c.readinessProbe?.tcpSocket?.port ?? c.readinessProbe?.httpGet?.port;
    return {
      name: c.name,
      image: c.image,
      ...(c.command === undefined ? {} : { command: c.command }),
      ...(c.args === undefined ? {} : { args: c.args }),
      env: Object.fromEntries((c.env ?? []).map(({ name, value }) => [name, value ?? ""])),
      readyPort: typeof port === "number" ? port : undefined,
    };
  });
  return {
    uid: pod.metadata.uid ?? "",
    namespace: pod.metadata.namespace ?? "default",
    name: pod.metadata.name,
    deleting: pod.metadata.deletionTimestamp !== undefined,
    hostNetwork: spec.hostNetwork === true,
    ownDns: spec.dnsPolicy === "Default",
    containers,
    hostPorts: spec.containers.flatMap((c) =>
      (c.ports ?? []).flatMap(({ containerPort, hostPort, protocol = "TCP" }) =>
        hostPort === undefined ? [] : [{ hostPort, containerPort, protocol: protocol.toLowerCase() }],
      ),
    ),
  };
}

/** The status of a pod that has its network; `ready` is the outcome of its probes. */
export function renderStatus(
  spec: PodSpec,
  record: PodRecord,
  at: { readonly hostIp: string; readonly ready: boolean; readonly running: ReadonlySet<string> },
): unknown {
  const flag = (type: string, yes: boolean) => ({ type, status: yes ? "True" : "False", lastTransitionTime: record.startedAt });
  return {
    phase: "Running",
    hostIP: at.hostIp,
    podIP: record.ips[0],
    podIPs: record.ips.map((ip) => ({ ip })),
    startTime: record.startedAt,
    conditions: [flag("Initialized", true), flag("Ready", at.ready), flag("ContainersReady", at.ready), flag("PodScheduled", true)],
    containerStatuses: spec.containers.map((c) => {
      const p = record.processes.find((r) => r.container === c.name);
      return {
        name: c.name,
        image: c.image,
        imageID: "",
        ready: at.ready && at.running.has(c.name),
        started: at.running.has(c.name),
        restartCount: p?.restarts ?? 0,
        containerID: `lab://${record.containerId}`,
        state: at.running.has(c.name)
          ? { running: { startedAt: p?.startedAt ?? record.startedAt } }
          : { waiting: { reason: "CrashLoopBackOff", message: "the process ended; it is started again after a delay that doubles" } },
      };
    }),
  };
}

/** The status of a pod that cannot be started, with the reason where `kubectl describe` and `kubectl get` show it. */
export function renderWaiting(spec: PodSpec, at: { readonly hostIp: string; readonly reason: string; readonly message: string }): unknown {
  return {
    phase: "Pending",
    hostIP: at.hostIp,
    containerStatuses: spec.containers.map((c) => ({
      name: c.name,
      image: c.image,
      imageID: "",
      ready: false,
      restartCount: 0,
      state: { waiting: { reason: at.reason, message: at.message } },
    })),
  };
}
