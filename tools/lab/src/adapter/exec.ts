import { spawn } from "node:child_process";
import process from "node:process";

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

export interface ExecOptions {
  readonly netns?: string;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

const MAX_OUTPUT_BYTES = 8 << 20;

/** The argv that runs `argv` in a named namespace, without the remount of /sys that `ip netns exec` does. */
export function inNetns(netns: string | undefined, argv: readonly string[]): readonly string[] {
  return netns === undefined ? argv : ["nsenter", `--net=/run/netns/${netns}`, "--", ...argv];
}

/** Run a command to its end and return what it said; a command that cannot be started or overruns its time has code 127 or 124. */
export function exec(argv: readonly string[], options: ExecOptions = {}): Promise<Ran> {
  const [file = "", ...args] = inNetns(options.netns, argv);
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...options.env } });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let bytes = 0;
    let code: number | undefined;
    const take = (into: Buffer[]) => (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= MAX_OUTPUT_BYTES) into.push(chunk);
    };
    const timer = setTimeout(() => {
      code = 124;
      child.kill("SIGKILL");
    }, options.timeoutMs ?? 60_000);
    const done = (exit: number, extra = "") => {
      clearTimeout(timer);
      const stdout = Buffer.concat(out).toString();
      resolve({ code: code ?? exit, stdout, stderr: Buffer.concat(err).toString() + extra, ms: performance.now() - started });
    };
    child.stdout.on("data", take(out));
    child.stderr.on("data", take(err));
    child.stdin.on("error", () => undefined); // the command may end without reading its input; its exit code tells
    child.once("error", (e) => done(127, String(e)));
    child.once("close", (exit) => done(exit ?? 1));
    child.stdin.end(options.input ?? "");
  });
}

/** `exec`, where failing is not expected: throws with the command, its exit code and its own words. */
export async function mustExec(argv: readonly string[], options: ExecOptions & { readonly tries?: number } = {}): Promise<string> {
  const ran = await exec(argv, options);
  if (ran.code !== 0 && (options.tries ?? 1) > 1) return await mustExec(argv, { ...options, tries: (options.tries ?? 1) - 1 });
  if (ran.code !== 0)
    throw new Error(`Cannot run "${argv.join(" ")}": exit ${ran.code}: ${(ran.stderr || ran.stdout).trim().slice(0, 2000)}`);
  return ran.stdout;
}
