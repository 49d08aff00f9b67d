/** The one place that starts programs: arguments as a list (no shell), standard input piped, time and output bounded. */
import { spawn } from "node:child_process";

export type RunOptions = {
  readonly stdin?: string;
  /** Start it in this network namespace. */
  readonly netnsPath?: string;
  readonly timeoutMs?: number;
  readonly maxOutputBytes?: number;
};

export type RunResult = {
  /** Exit code; undefined when it did not exit by itself or never started. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly failure?: "timedOut" | "notInstalled" | "tooMuchOutput" | "killed";
};

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Run to the end; a failure of any kind is in the result. Throws only for a missing namespace file given to nsenter. */
export function run(command: readonly string[], options: RunOptions): Promise<RunResult> {
  const words = options.netnsPath === undefined ? command : ["nsenter", `--net=${options.netnsPath}`, "--", ...command];
  const [program = "", ...args] = words;
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    const out = collector(options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES, () => stop("tooMuchOutput"));
    let failure: RunResult["failure"];
    const stop = (why: NonNullable<RunResult["failure"]>) => {
      failure ??= why;
      child.kill("SIGKILL");
    };
    const timer = setTimeout(() => stop("timedOut"), options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    child.stdout.on("data", out.take("stdout"));
    child.stderr.on("data", out.take("stderr"));
    // A program that refuses its input early closes the pipe; its exit code and stderr tell why.
    child.stdin.on("error", () => {});
    child.stdin.end(options.stdin ?? "");
    child.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      resolve({ code: undefined, stdout: "", stderr: error.message, failure: error.code === "ENOENT" ? "notInstalled" : "killed" });
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      if (code === null) failure ??= "killed";
      // nsenter says 127 for a program that is not there.
      if (options.netnsPath !== undefined && code === 127) failure ??= "notInstalled";
      resolve({ code: code ?? undefined, stdout: out.text("stdout"), stderr: out.text("stderr"), failure });
    });
  });
}

/** Run; anything but exit code 0 throws with what the program said. Gives its standard output. */
export async function runOrThrow(command: readonly string[], options: RunOptions): Promise<string> {
  const done = await run(command, options);
  if (done.code === 0 && !done.failure) return done.stdout;
  throw new Error(`Cannot run ${command.join(" ")}: ${explainFailure(done)}`);
}

/** Why it failed, in words. */
export function explainFailure(done: RunResult): string {
  const said = done.stderr.trim() || done.stdout.trim();
  switch (done.failure) {
    case "notInstalled":
      return `not installed, or not in PATH${said ? ` (${said})` : ""}`;
    case "timedOut":
      return `timed out${said ? ` (${said})` : ""}`;
    case "tooMuchOutput":
      return "printed more than the allowed output";
    case "killed":
      return `was killed${said ? ` (${said})` : ""}`;
    case undefined:
      return `exit code ${done.code}: ${said || "no message"}`;
  }
}

function collector(maxBytes: number, overflow: () => void) {
  const chunks: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
  let bytes = 0;
  return {
    take: (name: "stdout" | "stderr") => (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) overflow();
      else chunks[name].push(chunk);
    },
    text: (name: "stdout" | "stderr") => Buffer.concat(chunks[name]).toString("utf8"),
  };
}
