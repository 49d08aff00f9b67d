import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import process from "node:process";

/** Start ticks of a living process, undefined for one that is gone or a zombie. Source: proc(5), /proc/pid/stat fields 3 and 22. */
export function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    return undefined; // no such process
  }
}

// The pod sees its own process tree, its own host name and the cluster's DNS; files are otherwise the machine's.
const ENTER =
  'mount --make-rprivate / && mount -t proc proc /proc && { [ -z "$1" ] || mount --bind "$1" /etc/resolv.conf; } && hostname "$2" && shift 2 && exec "$@"';

/**
 * Start a container's process in the pod's namespaces. It is not bound to the kubelet's life: a kubelet that was killed finds it again
 * by pid and start ticks. Killing the returned pid ends everything in it.
 */
export function startContainer(options: {
  readonly netns: string;
  readonly pod: string;
  readonly resolvConf: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
}): number {
  const log = openSync(options.logFile, "a", 0o600);
  const unshare = ["unshare", "--mount", "--uts", "--pid", "--ipc", "--fork", "--kill-child"];
  const argv = [
    `--net=/run/netns/${options.netns}`,
    "--",
    ...unshare,
    "sh",
    "-c",
    ENTER,
    "sh",
    options.resolvConf,
    options.pod,
    ...options.argv,
  ];
  const path = process.env.PATH ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const child = spawn("nsenter", argv, { stdio: ["ignore", log, log], detached: true, env: { PATH: path, ...options.env } });
  closeSync(log);
  child.unref();
  if (child.pid === undefined) throw new Error(`Cannot start container of ${options.pod}: ${options.argv.join(" ")}`);
  return child.pid;
}

/** What a container that ended said last. */
export function lastLineOf(logFile: string): string | undefined {
  try {
    return readFileSync(logFile, "utf8").trimEnd().split("\n").at(-1)?.slice(-300);
  } catch {
    return undefined; // it has no log
  }
}
