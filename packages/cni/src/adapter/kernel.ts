import { statfsSync } from "node:fs";
import { openNetlink, writeSysctl } from "@calico/linux";
import type { Netlink } from "@calico/linux";
import type { Kernel } from "../ports.ts";

const NSFS_MAGIC = 0x6e736673;
const PROC_MAGIC = 0x9fa0;

/** The kernel this process runs on. The host's socket is opened at the first use and kept. */
export function openKernel(): Kernel & Disposable {
  let host: Netlink | undefined;
  return {
    host: () => (host ??= openNetlink()),
    pod: openPod,
    writeSysctl,
    [Symbol.dispose]: () => host?.close(),
  };
}

function openPod(netnsPath: string): Netlink | undefined {
  try {
    return openNetlink({ netnsPath });
  } catch (e) {
    if (isNetns(netnsPath)) throw e;
    return undefined;
  }
}

/** A namespace that was unmounted leaves an ordinary empty file at its path. */
function isNetns(path: string): boolean {
  try {
    const { type } = statfsSync(path);
    return type === NSFS_MAGIC || type === PROC_MAGIC;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw e;
  }
}
