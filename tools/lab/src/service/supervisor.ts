import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { connect } from "node:net";
import process from "node:process";
import { inNetns } from "../adapter/exec.ts";
import type { ProcessSpec } from "../domain/processes.ts";

export interface Running {
  readonly name: string;
  readonly node: string | undefined;
  readonly netns: string;
  readonly pid: number;
  readonly restarts: number;
}

export interface Supervisor {
  /** Start each process and keep it running; resolves when all are ready, rejects when one is not within `timeoutMs`. */
  start(specs: readonly ProcessSpec[], options?: { readonly timeoutMs?: number }): Promise<void>;
  running(): readonly Running[];
  /** From here on nothing is started again. Ending what runs is the teardown's work. */
  stop(): void;
}

const FIRST_RESTART_MS = 50;
const LAST_RESTART_MS = 1000;
const STEADY_MS = 5000;

interface Slot {
  readonly spec: ProcessSpec;
  child: ChildProcess | undefined;
  restarts: number;
  delayMs: number;
}

/** Keeps processes running, each with a log file of its own: started again after it ended, at once at first, then at most once a second. */
export function makeSupervisor(options: {
  readonly root: string;
  readonly logDir: string;
  readonly onChange: (running: readonly Running[]) => void;
}): Supervisor {
  const slots: Slot[] = [];
  let stopped = false;
  mkdirSync(options.logDir, { recursive: true });

  function running(): readonly Running[] {
    return slots.flatMap(({ spec, child, restarts }) =>
      child?.pid === undefined ? [] : [{ name: spec.name, node: spec.node, netns: spec.netns, pid: child.pid, restarts }],
    );
  }

  function launch(slot: Slot): void {
    const { spec } = slot;
    const log = openSync(`${options.logDir}/${spec.name.replaceAll("/", "-")}.log`, "a", 0o600);
    const argv =
      "program" in spec.run ? [`${options.root}/setup/run.sh`, spec.run.program, ...spec.args] : [spec.run.command, ...spec.args];
    const [file = "", ...args] = inNetns(spec.netns, argv);
    const started = performance.now();
    const child = spawn(file, args, { stdio: ["ignore", log, log], env: { ...process.env, ...spec.env }, detached: true });
    slot.child = child;
    const ended = (how: string) => {
      if (slot.child !== child) return;
      slot.child = undefined;
      if (stopped) return;
      writeSync(log, `${JSON.stringify({ component: "lab", message: "process ended", name: spec.name, how })}\n`);
      closeSync(log);
      slot.restarts++;
      slot.delayMs = performance.now() - started > STEADY_MS ? FIRST_RESTART_MS : Math.min(LAST_RESTART_MS, slot.delayMs * 2);
      setTimeout(() => stopped || launch(slot), slot.delayMs);
      options.onChange(running());
    };
    child.once("error", (e) => ended(String(e)));
    child.once("exit", (code, killedBy) => ended(killedBy ?? `exit ${code}`));
    options.onChange(running());
  }

  return {
    running,
    stop: () => void (stopped = true),
    async start(specs, { timeoutMs = 120_000 } = {}) {
      const mine = specs.map((spec): Slot => ({ spec, child: undefined, restarts: 0, delayMs: FIRST_RESTART_MS }));
      slots.push(...mine);
      for (const slot of mine) launch(slot);
      const deadline = performance.now() + timeoutMs;
      await Promise.all(mine.map(({ spec }) => untilReady(spec, deadline, options.logDir)));
    },
  };
}

async function untilReady(spec: ProcessSpec, deadline: number, logDir: string): Promise<void> {
  while (!(await isReady(spec))) {
    if (performance.now() > deadline)
      throw new Error(`Cannot start ${spec.name}: it did not become ready; its log is ${logDir}/${spec.name.replaceAll("/", "-")}.log`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function isReady(spec: ProcessSpec): Promise<boolean> {
  const { ready } = spec;
  if (ready === undefined) return true;
  if ("socket" in ready) return await accepts(ready.socket);
  const probe =
    "http" in ready
      ? ["timeout", "1", "busybox", "wget", "-q", "-O", "/dev/null", ready.http]
      : ["bash", "-c", "exec 3<>/dev/tcp/$0/$1", ready.tcp[0], String(ready.tcp[1])];
  const [file = "", ...args] = inNetns(spec.netns, probe);
  return await new Promise((resolve) => {
    const child = spawn(file, args, { stdio: "ignore" });
    child.once("error", () => resolve(false));
    child.once("exit", (code) => resolve(code === 0));
  });
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (yes: boolean) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}
