/**
 * host-local's folder of one network: a file per address, named after it, with the container in its first line, and a file `lock` that each of its
 * calls opens and holds. Source: containernetworking plugins, host-local backend/disk.
 *
 * It is retired by one rename(2): a link that leads nowhere in the place of `lock` makes every later call fail, with all the address files still there.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { formatIp, parseIp } from "@calico/model";
import { type HeldAddresses, type HostLocal, type HostLocalAddress, MOVED_NETWORK } from "../service/host-local-move.ts";

const FOLDER = `/var/lib/cni/networks/${MOVED_NETWORK}`;
const LOCK_WAIT_SEC = 60;
/** A call that opened the lock before it was retired may take it yet, once for each family; it lasts milliseconds. Calico waits as long. */
const SETTLE_MS = 5000;
const NOWHERE = "/calico-ipam -upgrade/moved the addresses of this network; remove this link to give it back to host-local";

export function openHostLocal(folder: string = FOLDER): HostLocal {
  return {
    async open() {
      // Where host-local was never called it must not begin.
      if (lstatSync(folder, { throwIfNoEntry: false }) === undefined) mkdirSync(folder, { recursive: true, mode: 0o755 });
      if (!lstatSync(folder).isDirectory()) throw new Error(`${folder} is no folder: what host-local keeps there cannot be told`);
      const own = await holdLock(folder); // host-local does not lock the folder itself: this keeps another -upgrade out
      return heldIn(folder, own);
    },
  };
}

function heldIn(folder: string, own: HeldLock): HeldAddresses {
  const names = new Map<string, string>();
  return {
    list() {
      const found = addressesIn(folder);
      for (const { ip, name } of found) names.set(ip, name);
      return found;
    },
    async retire(check) {
      const [lock, waited] = [join(folder, "lock"), join(folder, ".lock.retired")];
      if (!isRetired(lock)) {
        await using held = await holdLock(lock);
        await check();
        held.assertHeld();
        putLink(lock, waited);
      }
      if (lstatSync(waited, { throwIfNoEntry: false }) === undefined) return;
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      await (await holdLock(waited))[Symbol.asyncDispose]();
      rmSync(waited);
    },
    forget: (ip) => rmSync(join(folder, names.get(ip) ?? ip), { force: true }),
    [Symbol.asyncDispose]: () => own[Symbol.asyncDispose](),
  };
}

function addressesIn(folder: string): readonly (HostLocalAddress & { readonly name: string })[] {
  return readdirSync(folder).flatMap((name) => {
    const ip = parseIp(name);
    if (!ip.ok) return [];
    const path = join(folder, name);
    const stat = statSync(path);
    if (!stat.isFile()) return [];
    return [{ ip: formatIp(ip.value), name, containerId: readFileSync(path, "utf8").split("\n")[0]!.trim(), givenMs: stat.mtimeMs }];
  });
}

function isRetired(lock: string): boolean {
  return (lstatSync(lock, { throwIfNoEntry: false })?.isSymbolicLink() ?? false) && readlinkSync(lock) === NOWHERE;
}

/** In one step for host-local; the lock that it had stays known as `waited`. */
function putLink(lock: string, waited: string): void {
  const next = `${lock}.next`;
  for (const left of [waited, next]) rmSync(left, { force: true });
  linkSync(lock, waited);
  symlinkSync(NOWHERE, next);
  renameSync(next, lock);
}

interface HeldLock extends AsyncDisposable {
  /** Throws if the lock was lost since. */
  assertHeld(): void;
}

/** By flock(1): neither Node nor a way of both runtimes has the system call. */
async function holdLock(path: string): Promise<HeldLock> {
  const argv = ["--exclusive", "--timeout", String(LOCK_WAIT_SEC), path, "sh", "-c", "echo locked; exec cat"];
  const child = spawn("flock", argv, { stdio: ["pipe", "pipe", "pipe"] });
  const ended = endOf(child);
  const begun = new Promise<undefined>((resolve) => createInterface({ input: child.stdout }).once("line", () => resolve(undefined)));
  const why = await Promise.race([begun, ended]);
  if (why !== undefined) throw new Error(`Cannot lock ${path}: ${why}`);
  return {
    assertHeld() {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`The lock ${path} was lost: what held it was ended`);
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}

/** Why it ended, for people. Source: flock(1), exit status. */
function endOf(child: ChildProcess): Promise<string> {
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  return new Promise((resolve) => {
    child.once("error", ({ message }) => resolve(`flock(1) of util-linux cannot be run (${message})`));
    child.once("close", (code) =>
      resolve(code === 1 ? `a call that has it does not end within ${LOCK_WAIT_SEC} s; end that` : said.trim()),
    );
  });
}
