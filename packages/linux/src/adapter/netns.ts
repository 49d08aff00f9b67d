/** Network namespaces by name, as iproute2 keeps them: bind mounts in /run/netns. */
import { closeSync, openSync, readdirSync } from "node:fs";
import { errnoName } from "../domain/errno.ts";
import { libc } from "./libc.ts";
import { run, runOrThrow } from "./run.ts";

const NETNS_DIR = "/run/netns";
const CLONE_NEWNET = 0x40000000;

/** `/run/netns/NAME`. */
export function netnsPath(name: string): string {
  return `${NETNS_DIR}/${name}`;
}

/** Namespace of a process. */
export function netnsPathOfPid(pid: number): string {
  return `/proc/${pid}/ns/net`;
}

/** Make a namespace; throws if there is one of that name. Its `lo` is down. */
export async function createNetns(name: string): Promise<void> {
  await runOrThrow(["ip", "netns", "add", name], {});
}

/** Remove the name; the namespace goes when its last process and descriptor go. No error if there is none. */
export async function deleteNetns(name: string): Promise<void> {
  const done = await run(["ip", "netns", "delete", name], {});
  if (done.code !== 0 && listNetns().includes(name)) throw new Error(`Cannot delete network namespace ${name}: ${done.stderr.trim()}`);
}

export function listNetns(): readonly string[] {
  try {
    return readdirSync(NETNS_DIR).toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/**
 * Run `fn` with the calling thread inside the namespace. `fn` must be synchronous: whatever an `await` lets in would run in the
 * wrong namespace. Sockets that it makes stay there; child processes that it spawns start there.
 */
export function withNetns<T>(path: string, fn: () => T extends PromiseLike<unknown> ? never : T): T {
  const target = openNetns(path);
  try {
    return inNetns(target, fn, path);
  } finally {
    closeSync(target);
  }
}

/** `withNetns` for a namespace that is open already. */
export function inNetns<T>(target: number, fn: () => T extends PromiseLike<unknown> ? never : T, name = `descriptor ${target}`): T {
  // thread-self, not self: the main thread's namespace is not a worker's.
  const own = openSync("/proc/thread-self/ns/net", "r");
  try {
    enter(target, name);
    try {
      return fn();
    } finally {
      comeBack(own);
    }
  } finally {
    closeSync(own);
  }
}

/** An open descriptor of the namespace; the caller closes it. */
export function openNetns(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw new Error(`Cannot open network namespace ${path}: ${(error as Error).message}`, { cause: error });
  }
}

function enter(fd: number, path: string): void {
  const result = libc().setns(fd, CLONE_NEWNET);
  if (result < 0)
    throw new Error(`Cannot enter network namespace ${path}: ${errnoName(-result)}; it needs to be a namespace file, and CAP_SYS_ADMIN`);
}

/** To go on in a pod's namespace would write the node's rules there, so there is no going on. */
function comeBack(fd: number): void {
  const result = libc().setns(fd, CLONE_NEWNET);
  if (result >= 0) return;
  process.stderr.write(`Cannot return to the own network namespace: ${errnoName(-result)}; aborting\n`);
  process.abort();
}
