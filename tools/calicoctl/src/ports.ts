/** What the commands need of the world. */
import type { ResourceClient, Store } from "@calico/datastore";
import type { NatsAccess, Past } from "@calico/bus";
import type { IpamLibrary } from "@calico/ipam";

export interface Io {
  /** One line to standard output. */
  print(line: string): void;
  /** Text of a file; `-` is standard input. Throws a CliError that names it. */
  readText(path: string): Promise<string>;
  /** The files to read for `-f PATH`: itself, or the resource files of a folder, of its sub-folders too if `recursive`. */
  resourceFiles(path: string, recursive: boolean): Promise<readonly string[]>;
  /** Makes the folder too. Whole, or not at all. */
  writeText(path: string, text: string): Promise<void>;
  parseYaml(file: string, text: string): Promise<readonly unknown[]>;
  renderYaml(value: unknown): Promise<string>;
  /** One JSON line to a unix socket, one back; undefined if nobody listens there. */
  askSocket(path: string, request: unknown): Promise<unknown>;
}

/** How the event log lets one in. */
export type NatsFlags = Omit<NatsAccess, "node"> & { readonly natsName?: string };

/** What a command runs with. The datastore is connected to by whoever asks for it first. */
export interface Context {
  readonly io: Io;
  store(): Promise<Store>;
  /** Refuses a cluster of another version, unless told not to mind. */
  client(options?: { readonly anyVersion?: boolean }): Promise<ResourceClient>;
  ipam(): Promise<IpamLibrary>;
  /** The pods of a Kubernetes API, `namespace/name`, with their addresses. */
  pods(kubeconfig: string): Promise<readonly { readonly name: string; readonly ips: readonly string[] }[]>;
  /** What the event log's streams keep. */
  past(servers: readonly string[], flags: NatsFlags): Promise<Past>;
}
