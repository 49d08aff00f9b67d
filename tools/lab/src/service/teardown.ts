import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import type { Topology } from "../domain/topology.ts";
import { startTicks } from "../kubelet/process.ts";

export interface Teardown {
  /** Tear the lab down and wait until nothing of it is left. */
  run(): Promise<void>;
}

const script = new URL("../../bin/teardown.sh", import.meta.url).pathname;

/** Armed once the folder names us as its owner, before anything else is made: it runs when `run` is called, and also when this process ends in any other way. */
export function armTeardown(t: Topology): Teardown {
  let running = false;
  let child: ChildProcess;
  const arm = () => {
    child = spawn(script, [t.id, t.dir, String(process.pid)], { stdio: ["pipe", "ignore", "inherit"], detached: true });
    child.once("exit", () => running || arm());
    child.stdin?.on("error", () => undefined); // its exit is what counts, and is seen
  };
  arm();
  return {
    run() {
      running = true;
      return new Promise((resolve, reject) => {
        child.once("exit", (code) =>
          code === 0 ? resolve() : reject(new Error(`Cannot tear lab ${t.id} down: exit ${code}; try: npm run lab -- down --id ${t.id}`)),
        );
        child.stdin?.end();
      });
    },
  };
}

/** Remove what a lab of this id left behind; refuses while its owner lives. */
export async function clearLeftovers(t: Topology): Promise<"none" | "removed"> {
  const owner = readOwner(t);
  if (owner !== undefined && startTicks(owner.pid) === owner.startTicks)
    throw new Error(`Cannot start lab "${t.id}": it runs already as process ${owner.pid}; end that one, or choose another name with --id`);
  if (owner === undefined && !existsSync(t.dir) && !existsSync(`/run/netns/${t.fabricNetns}`)) return "none";
  await sweep(t);
  return "removed";
}

/** End a lab whatever it does. */
export async function endLab(t: Topology): Promise<void> {
  const owner = readOwner(t);
  if (owner !== undefined && startTicks(owner.pid) === owner.startTicks) process.kill(owner.pid, "SIGKILL");
  await sweep(t);
}

function sweep(t: Topology): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(script, [t.id, t.dir, "--now"], { stdio: ["ignore", "ignore", "inherit"] });
    child.once("error", reject);
    child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`Cannot remove lab ${t.id}: exit ${code}`))));
  });
}

function readOwner(t: Topology): { readonly pid: number; readonly startTicks: string } | undefined {
  const file = `${t.dir}/owner.json`;
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { pid: number; startTicks: string }) : undefined;
}
