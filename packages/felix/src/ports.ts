/**
 * What felix does to the world, by what it needs. The real ones are the linux package's (adapter/kernel.ts), fakes are in
 * testing.ts.
 */
import type { Ipset, Iptables, Netlink } from "@calico/linux";
import type { Applied, Status } from "@calico/model";

export type { Ipset, Iptables, Netlink };

/** Files that tell CNI which workloads are ready. */
export interface StatusFiles {
  list(): Promise<readonly string[]>;
  /** Written whole or not at all. */
  write(file: string, body: string): Promise<void>;
  remove(file: string): Promise<void>;
}

/** Where CNI reads the MTU of new pods. */
export interface MtuFile {
  write(mtu: number): Promise<void>;
}

export interface Sysctls {
  write(name: string, value: string): void;
}

export interface Conntrack {
  /** Forget all flows of an address. */
  forget(ip: string): Promise<void>;
}

export type Kernel = {
  readonly netlink: Netlink;
  /** One per IP family that this kernel has. */
  readonly iptables: readonly Iptables[];
  readonly ipset: Ipset;
  readonly sysctls: Sysctls;
  readonly conntrack: Conntrack;
};

/** What felix says of itself on the bus. */
export interface Reports {
  status(body: Omit<Status, "component" | "node">): void;
  applied(body: Omit<Applied, "component" | "node">): void;
}
