import { statfsSync, statSync } from "node:fs";
import { openNetlink, readSysctl, writeSysctl } from "@calico/linux";
import type { Netlink } from "@calico/linux";
import type { Kernel } from "../ports.ts";

const NSFS_MAGIC = 0x6e736673;
/** What the path of a namespace that is gone gives, or one of a process that is. */
const GONE = ["ENOENT", "ENOTDIR", "ESRCH"];

/** The kernel this process runs on. The host's socket is opened at the first use and kept. */
export function openKernel(): Kernel & Disposable {
  let host: Netlink | undefined;
  const own = identityOf("/proc/thread-self/ns/net");
  const isOwn = (path: string) => identityOf(path) === own;
  return {
    host: () => (host ??= openNetlink()),
    pod: (path) => (isOwn(path) ? undefined : openPod(path)),
    isOwn,
    writeSysctl,
    readSysctl: valueOf,
    [Symbol.dispose]: () => host?.close(),
  };
}

/** What the kernel knows a namespace by; undefined if there is nothing at the path. */
function identityOf(path: string): string | undefined {
  const found = orGone(() => statSync(path, { bigint: true }));
  return found && `${found.dev} ${found.ino}`;
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
  return orGone(() => statfsSync(path))?.type === NSFS_MAGIC;
}

function orGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (e) {
    if (GONE.includes((e as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw e;
  }
}

/** A device's settings go with the device. */
function valueOf(name: string): string | undefined {
  try {
    return readSysctl(name);
  } catch (e) {
    if (((e as Error).cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT") return undefined;
    throw e;
  }
}
