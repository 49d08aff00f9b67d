/** What CNI calls need of the world. */
import type { ResourceClient } from "@calico/datastore";
import type { EtcdTarget, Ipam, OwnerName } from "@calico/ipam";
import type { Netlink } from "@calico/linux";
import type { CniCall } from "./domain/env.ts";
import type { LogTarget } from "./domain/log-line.ts";
import type { QueuedDelete } from "./domain/queued-delete.ts";
import type { Netconf } from "./domain/netconf.ts";
import type { NamespaceFacts, PodFacts, VmiFacts } from "./domain/pod.ts";

/** The kernel: the node's namespace, where this process is, and pods' by path. */
export interface Kernel {
  host(): Netlink;
  /** Undefined if there is no such namespace any more, or it is the node's own: `/proc/PID/ns/net` may be another process's by now. */
  pod(netnsPath: string): Netlink | undefined;
  /** Whether the path is the node's own namespace. */
  isOwn(netnsPath: string): boolean;
  writeSysctl(name: string, value: string | number, o?: { readonly netnsPath?: string }): void;
  /** The node's; undefined if there is no such setting. */
  readSysctl(name: string): string | undefined;
}

/** What a datastore is for here. One per etcd that a configuration names. */
export interface Datastore {
  readonly resources: ResourceClient;
  readonly ipam: Ipam;
  /** What the node's containers hold; once for each owner of an address that is on the node. */
  allocationsOf(node: string): Promise<readonly Allocation[]>;
  /** Handles of virtual machines that have this owner. Reads all blocks. */
  handlesOf(owner: OwnerName): Promise<readonly string[]>;
}

/** `owner` is known of virtual machines' addresses, which hang on a handle that is not the container's. */
export type Allocation = { readonly handle: string; readonly ip: string; readonly owner: OwnerName | undefined };

export interface Ports {
  readonly kernel: Kernel;
  datastoreOf(target: EtcdTarget | undefined): Datastore;
  /** A pod from the API server. */
  podOf(conf: Netconf, o: { readonly namespace: string; readonly name: string }): Promise<PodFacts>;
  /** Labels and annotations of a namespace; undefined when the configuration has no API server to ask. */
  namespaceOf(conf: Netconf, namespace: string): Promise<NamespaceFacts | undefined>;
  /** A VirtualMachineInstance of KubeVirt; undefined if there is none. */
  vmiOf(conf: Netconf, o: { readonly namespace: string; readonly name: string }): Promise<VmiFacts | undefined>;
  /** Whether a VirtualMachine is being deleted; undefined if there is none. */
  vmOf(conf: Netconf, o: { readonly namespace: string; readonly name: string }): Promise<{ readonly isDeleting: boolean } | undefined>;
  /** What Kubernetes gave the node for pods. */
  podCidrsOf(conf: Netconf, node: string): Promise<readonly string[]>;
  /** Run another plugin, as `CNI_COMMAND` says, and give what it printed. */
  execPlugin(o: {
    readonly type: string;
    readonly call: CniCall;
    readonly stdin: string;
  }): Promise<{ readonly exit: number; readonly stdout: string }>;
  readonly files: Files;
  /** Resolves true when the file is there with a content that is accepted, false when the time is over. */
  untilFile(path: string, timeoutMs: number, accept: (content: string) => boolean): Promise<boolean>;
  /** Whether a GET of the URL ends with 2xx or 3xx. */
  isReady(url: string): Promise<boolean>;
  /** Undefined, or why it could not be written. */
  appendToLog(target: LogTarget, line: string): Error | undefined;
  readonly deletes: DeleteQueue;
  readonly clock: Clock;
}

/** Deletes that wait for the datastore; they outlive the process. */
export interface DeleteQueue {
  /** False: there are too many. The same container's again takes the place of the first. */
  put(entry: QueuedDelete): boolean;
  list(): readonly WaitingDelete[];
  has(name: string): boolean;
  remove(name: string): void;
  /** All of that container. */
  removeOf(containerId: string): void;
}

/** `entry` is undefined where there is no record in the file, or, with `problem`, where the file cannot be read now. */
export type WaitingDelete = { readonly name: string; readonly entry: QueuedDelete | undefined; readonly problem?: Error };

export interface Clock {
  now(): number;
  pause(ms: number): Promise<void>;
}

export interface Files {
  /** Trimmed content, undefined if there is no such file. */
  read(path: string): string | undefined;
  exists(path: string): boolean;
}

/** What the one who runs the plugin decides: the agent, or the executable by itself. */
export type Settings = {
  readonly varDir: string;
  readonly runDir: string;
  /** The agent knows its node; the executable reads it from a file. */
  readonly node: string | undefined;
  /** How long ADD waits for felix when the configuration does not say; 0: not at all. */
  readonly policyWaitMs: number;
  readonly hostname: string;
  /** Whether an ADD is being worked on for that container or device. Undefined: other processes may, and it cannot be known. */
  readonly isBusy?: (what: { readonly containerId?: string; readonly hostVeth?: string }) => boolean;
};

export type Log = {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
};
