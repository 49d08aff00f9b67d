/** Kernel parameters by their path under /proc/sys. Those of net/ are the calling thread's namespace's, so another one is entered to reach its. */
import { readFileSync, writeFileSync } from "node:fs";
import { withNetns } from "./netns.ts";

export type SysctlOptions = { readonly netnsPath?: string };

/** `net/ipv4/ip_forward`, or with dots; device names may contain dots, so a path with a slash is taken as it is. */
export function sysctlPath(name: string): string {
  const path = name.includes("/") ? name : name.replaceAll(".", "/");
  if (path.split("/").some((part) => part === "" || part === "." || part === "..")) {
    throw new TypeError(`Cannot use sysctl "${name}": expected a form like "net/ipv4/ip_forward"`);
  }
  return `/proc/sys/${path}`;
}

/** Synchronous, since it may be in another namespace. Throws if there is no such parameter or it refuses the value. */
export function writeSysctl(name: string, value: string | number, options: SysctlOptions = {}): void {
  inNetns(options, () => {
    try {
      writeFileSync(sysctlPath(name), `${value}`);
    } catch (error) {
      throw new Error(`Cannot write ${value} to sysctl ${name}: ${(error as Error).message}`, { cause: error });
    }
  });
}

/** Its value without the line end. */
export function readSysctl(name: string, options: SysctlOptions = {}): string {
  return inNetns(options, () => {
    try {
      return readFileSync(sysctlPath(name), "utf8").trimEnd();
    } catch (error) {
      throw new Error(`Cannot read sysctl ${name}: ${(error as Error).message}`, { cause: error });
    }
  });
}

function inNetns<T>({ netnsPath }: SysctlOptions, fn: () => T extends PromiseLike<unknown> ? never : T): T {
  return netnsPath === undefined ? fn() : withNetns(netnsPath, fn);
}
