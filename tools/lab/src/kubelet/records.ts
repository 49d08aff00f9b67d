import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";

/** What the kubelet must know of a pod to go on after it was killed: kept in a file, written whole before and after each step. */
export interface PodRecord {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly netns: string;
  readonly containerId: string;
  /** The result of the CNI chain, once ADD has ended. */
  readonly result?: unknown;
  readonly ips: readonly string[];
  readonly hostPorts: readonly HostPort[];
  readonly processes: readonly ProcessRecord[];
  /** When the pod got its sandbox, ISO 8601. */
  readonly startedAt: string;
}

export interface HostPort {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
}

/** A process is the same one only if its start time, in clock ticks since boot, is the same too: pids are used again. */
export interface ProcessRecord {
  readonly container: string;
  readonly pid: number;
  readonly startTicks: string;
  readonly restarts: number;
  readonly startedAt: string;
}

export interface Records {
  load(): readonly PodRecord[];
  save(record: PodRecord): void;
  remove(uid: string): void;
  folder(uid: string): string;
}

/** Every pod of a kubelet's folder; one that goes while we read is passed over. */
export function podRecords(dir: string): readonly PodRecord[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .filter((f) => f.endsWith(".json"))
    .flatMap((f) => {
      try {
        return [JSON.parse(readFileSync(`${dir}/${f}`, "utf8")) as PodRecord];
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
        throw error;
      }
    });
}

export function openRecords(dir: string): Records {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = (uid: string) => `${dir}/${uid}.json`;
  return {
    load: () => podRecords(dir),
    save(record) {
      writeFileSync(`${file(record.uid)}.new`, JSON.stringify(record));
      renameSync(`${file(record.uid)}.new`, file(record.uid));
    },
    remove(uid) {
      rmSync(file(uid), { force: true });
      rmSync(`${dir}/${uid}`, { recursive: true, force: true });
    },
    folder(uid) {
      mkdirSync(`${dir}/${uid}`, { recursive: true });
      return `${dir}/${uid}`;
    },
  };
}
