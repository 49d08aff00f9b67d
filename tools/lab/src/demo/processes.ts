import { existsSync, readFileSync } from "node:fs";
import type { Topology } from "../domain/topology.ts";
import type { Running } from "../service/supervisor.ts";
import { table } from "./show.ts";

export interface ProcessRow extends Running {
  /** Resident memory, megabytes (10^6): VmRSS of /proc/pid/status. */
  readonly rssMb: number;
}

/** The supervised processes of a running lab with their memory. */
export function readProcesses(t: Topology): readonly ProcessRow[] {
  const file = `${t.dir}/processes.json`;
  if (!existsSync(file)) throw new Error(`Cannot list processes: lab "${t.id}" does not run`);
  return (JSON.parse(readFileSync(file, "utf8")) as readonly Running[]).map((p) => ({ ...p, rssMb: rssMb(p.pid) }));
}

export function showProcesses(t: Topology, format: "table" | "json"): string {
  const rows = readProcesses(t);
  if (format === "json") return JSON.stringify(rows, null, 2);
  const lines = rows.map((r) => [r.name, r.netns, String(r.pid), String(r.restarts), r.rssMb.toFixed(0)]);
  const nodes = [...new Set(rows.flatMap((r) => (r.node === undefined ? [] : [r.node])))];
  const sums = nodes.map((n) => [
    `all of ${n}`,
    "",
    "",
    "",
    rows
      .filter((r) => r.node === n)
      .reduce((sum, r) => sum + r.rssMb, 0)
      .toFixed(0),
  ]);
  return table(["process", "namespace", "pid", "restarts", "RSS MB"], [...lines, ...sums]);
}

function rssMb(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1.024e-3;
  } catch {
    return 0; // ended since the list was written
  }
}
