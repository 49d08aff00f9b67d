/** What CNI calls need of the world. */
import type { ResourceClient } from "@calico/datastore";
import type { EtcdTarget, Ipam } from "@calico/ipam";
import type { Netlink } from "@calico/linux";
import type { CniCall } from "./domain/env.ts";
import type { Netconf } from "./domain/netconf.ts";
import type { PodFacts } from "./domain/pod.ts";

/** The kernel: the node's namespace, where this process is, and pods' by path. */
export interface Kernel {
  host(): Netlink;
  /** Undefined if there is no such namespace any more. */
  pod(netnsPath: string): Netlink | undefined;
  writeSysctl(name: string, value: string | number, o?: { readonly netnsPath?: string }): void;
}

/** What a datastore is for here. One per etcd that a configuration names. */
export interface Datastore {
  readonly resources: ResourceClient;
  readonly ipam: Ipam;
}

export interface Ports {
  readonly kernel: Kernel;
  datastoreOf(target: EtcdTarget | undefined): Datastore;
  /** A pod from the API server. */
  podOf(conf: Netconf, o: { readonly namespace: string; readonly name: string }): Promise<PodFacts>;
  /** Labels of a namespace, for pools that ask for them; undefined when they cannot be known. */
  namespaceLabelsOf(conf: Netconf, namespace: string): Promise<Readonly<Record<string, string>> | undefined>;
  /** Run another plugin, as `CNI_COMMAND` says, and give what it printed. */
  execPlugin(o: {
    readonly type: string;
    readonly call: CniCall;
    readonly stdin: string;
  }): Promise<{ readonly exit: number; readonly stdout: string }>;
  readonly files: Files;
  /** Resolves true when the file is there, false when the time is over. */
  untilFile(path: string, timeoutMs: number): Promise<boolean>;
  readonly clock: { now(): number };
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
};

export type Log = {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
};
