import { existsSync } from "node:fs";
import { deleteConntrack, openIpset, openIptables, openNetlink, writeSysctl } from "@calico/linux";
import type { IptablesBackend } from "@calico/linux";
import type { Family } from "../domain/names.ts";
import type { Kernel } from "../ports.ts";

/** The IP families that this kernel has. */
export function kernelFamilies(): readonly Family[] {
  return existsSync("/proc/sys/net/ipv6") ? [4, 6] : [4];
}

/** The kernel as felix acts on it. Forwarding is switched on: without it no pod reaches anything. */
export function openKernel(options: {
  readonly backend: IptablesBackend | "auto";
  readonly families: readonly Family[];
  readonly netnsPath?: string;
}): Kernel {
  const at = options.netnsPath === undefined ? {} : { netnsPath: options.netnsPath };
  writeSysctl("net/ipv4/ip_forward", "1", at);
  if (options.families.includes(6)) writeSysctl("net/ipv6/conf/all/forwarding", "1", at);
  return {
    netlink: openNetlink(at),
    iptables: options.families.map((family) => openIptables({ family, backend: options.backend, ...at })),
    ipset: openIpset(at),
    sysctls: { write: (name, value) => writeSysctl(name, value, at) },
    conntrack: {
      async forget(ip) {
        await deleteConntrack({ ip }, at);
      },
    },
  };
}
