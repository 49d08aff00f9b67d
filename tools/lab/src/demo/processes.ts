import { existsSync, readFileSync } from "node:fs";
import type { Topology } from "../domain/topology.ts";
import type { Running } from "../service/supervisor.ts";
import { table } from "./show.ts";

export interface ProcessRow extends Running {
  /** Resident memory, mebibytes: VmRSS of /proc/pid/status. */
  readonly rssMiB: number;
}

/** The supervised processes of a running lab with their memory. */
export function readProcesses(t: Topology): readonly ProcessRow[] {
  const file = `${t.dir}/processes.json`;
  if (!existsSync(file)) throw new Error(`Cannot list processes: lab "${t.id}" does not run`);
  return (JSON.parse(readFileSync(file, "utf8")) as readonly Running[]).map((p) => ({ ...p, rssMiB: rssMiB(p.pid) }));
}

export function showProcesses(t: Topology, format: "table" | "json"): string {
  const rows = readProcesses(t);
  if (format === "json") return JSON.stringify(rows, null, 2);
  const lines = rows.map((r) => [r.name, r.netns, String(r.pid), String(r.restarts), r.rssMiB.toFixed(0)]);
  const nodes = [...new Set(rows.flatMap((r) => (r.node === undefined ? [] : [r.node])))];
  const sums = nodes.map((n) => [
    `all of ${n}`,
    "",
    "",
    "",
    rows
      .filter((r) => r.node === n)
      .reduce((sum, r) => sum + r.rssMiB, 0)
      .toFixed(0),
  ]);
  return table(["process", "namespace", "pid", "restarts", "RSS MiB"], [...lines, ...sums]);
}

function rssMiB(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
  } catch {
    return 0; // ended since the list was written
  }
}
