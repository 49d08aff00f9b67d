import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";

export interface Answer {
  readonly synced: number;
  readonly delivered: number;
  /** The revision that all of the process's consumers have reached since they were in sync. */
  readonly reached: number;
  readonly syncedMs: number;
  readonly rssMiB: number;
  readonly seen: readonly (readonly [revision: number, atMs: number])[];
}

export interface Consumers extends AsyncDisposable {
  /** One answer per process. `all` also hands over what was seen, and starts to count from nothing. */
  ask(what: "count" | "all"): Promise<readonly Answer[]>;
  /** Processor time of all of them so far, in milliseconds. */
  cpuMs(): number;
}

const ROOT = fileURLToPath(new URL("../../../../..", import.meta.url));

/** `total` consumers in at most four processes. */
export async function startConsumers(mode: "nats" | "etcd", url: string, total: number): Promise<Consumers> {
  const sizes = total < 100 ? [total] : [0, 1, 2, 3].map((i) => Math.floor((total + i) / 4));
  const processes = sizes.map((size) => {
    const child = program("tools/bench/src/suites/bus/consumers.ts", [mode, url, String(size)], size > 1 ? CROWD_ENV : {});
    const waiting: ((answer: Answer) => void)[] = [];
    createInterface({ input: child.stdout! }).on("line", (line) => waiting.shift()?.(JSON.parse(line) as Answer));
    const ask = (what: string) =>
      new Promise<Answer>((resolve, reject) => {
        waiting.push(resolve);
        child
          .removeAllListeners("exit")
          .once("exit", (code) => reject(new Error(`Cannot measure: a process of consumers ended with code ${code}`)));
        child.stdin?.write(`${what}\n`);
      });
    return { child, ask };
  });
  return {
    ask: (what) => Promise.all(processes.map(({ ask }) => ask(what))),
    cpuMs: () => processes.reduce((sum, { child }) => sum + cpuMs(child.pid ?? 0), 0),
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map(({ child }) => endProgram(child)));
    },
  };
}

export function startSyncer(etcd: string, nats: string): AsyncDisposable & { readonly pid: number } {
  const child = program("packages/bus/src/main.ts", ["--etcd", etcd, "--nats", nats, "--node", "bench", "--health-port", "-1"]);
  child.stderr?.resume();
  child.stdout?.resume();
  return { pid: child.pid ?? 0, [Symbol.asyncDispose]: () => endProgram(child) };
}

/** A process with many consumers gets the memory of a usual one; a daemon is held small. */
const CROWD_ENV = { CALICO_V8_FLAGS: "--max-semi-space-size=16" };

function program(file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  return spawn("bash", [`${ROOT}/setup/run.sh`, file, ...args], {
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", file.includes("consumers") ? "inherit" : "pipe"],
  });
}

async function endProgram(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

/** Processor time of a process so far, in milliseconds. Source: proc(5), /proc/PID/stat fields 14 and 15, in hundredths of a second. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
