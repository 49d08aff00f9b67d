/** host-local's folder of one network: a file per address, named after it, with the container in its first line. Source: host-local backend/disk. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { lstatSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseIp } from "@calico/model";
import { type HostLocal, MOVED_NETWORK } from "../service/host-local-move.ts";

const FOLDER = `/var/lib/cni/networks/${MOVED_NETWORK}`;
const LOCK_WAIT_SEC = 60;
const ROUNDS = 5;
const RETIRED = `The addresses of this network are Calico's own IPAM's now: calico-ipam -upgrade moved them.
While this file is here, host-local refuses the network. Remove it to give the network back to host-local.
`;

export function openHostLocal(folder: string = FOLDER): HostLocal {
  const aside = `${folder}.retired`;
  return {
    async leave(move) {
      let moved: Awaited<ReturnType<typeof move>> | undefined;
      for (let round = 0; round < ROUNDS; round++) {
        const isThere = isFolder(folder);
        if (!isThere && !isFolder(aside)) return moved;
        await using lock = isThere ? await lockFolder(folder) : undefined;
        if (lock !== undefined) {
          moved = await move({ list: () => addressesIn(folder), forget: (ip) => rmSync(join(folder, ip), { force: true }) });
          if (isFolder(aside)) dropEmpty(aside);
          renameSync(folder, aside);
        }
        if (!putFile(folder)) continue; // host-local was quicker
        dropEmpty(aside);
        return moved;
      }
      throw new Error(`host-local keeps giving addresses from ${folder}: take its configuration out of /etc/cni/net.d, and run this again`);
    },
  };
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function addressesIn(folder: string) {
  const names = readdirSync(folder).filter((name) => parseIp(name).ok);
  return names.map((ip) => ({ ip, containerId: readFileSync(join(folder, ip), "utf8").split("\n")[0]!.trim() }));
}

/** Only what is known to be host-local's goes; a folder with more in it stays. */
function dropEmpty(aside: string): void {
  for (const name of readdirSync(aside)) if (name === "lock" || name.startsWith("last_reserved_ip")) rmSync(join(aside, name));
  if (readdirSync(aside).length === 0) rmdirSync(aside);
  else renameSync(aside, `${aside}.${Date.now()}`);
}

/** A file where host-local would make its folder; false if it has made it again. */
function putFile(folder: string): boolean {
  try {
    writeFileSync(folder, RETIRED, { flag: "wx", mode: 0o644 });
    return true;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "EEXIST" || (e as NodeJS.ErrnoException).code === "EISDIR") return false;
    throw e;
  }
}

/** host-local's own lock, by flock(1): neither Node nor a shared way of both runtimes has the system call. */
async function lockFolder(folder: string): Promise<AsyncDisposable> {
  const argv = ["--exclusive", "--timeout", String(LOCK_WAIT_SEC), join(folder, "lock"), "sh", "-c", "echo locked; exec cat"];
  const child = spawn("flock", argv, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const begun = await Promise.race([once(createInterface({ input: child.stdout }), "line"), ended]);
  if (begun[0] !== "locked")
    throw new Error(`host-local keeps its lock ${folder}/lock for more than ${LOCK_WAIT_SEC} s: end the call that hangs`);
  return {
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}
