import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { CniCall } from "../domain/env.ts";
import { CniFault } from "../domain/fault.ts";

export type ExecLimits = {
  /** Then it is asked to end. Below the deadline of every call that runs one but STATUS, whose runtime goes on sooner. */
  readonly timeoutMs: number;
  /** Then it is ended. */
  readonly killAfterMs: number;
  /** What it wrote last is read for so long, if another process of its making keeps the pipe open. */
  readonly drainMs: number;
};

const LIMITS: ExecLimits = { timeoutMs: 25_000, killAfterMs: 2000, drainMs: 200 };

/** Run another plugin from CNI_PATH with our call's environment; over when it has ended, whatever it left running. Its standard error is our log's. */
export async function execPlugin(
  o: { readonly type: string; readonly call: CniCall; readonly stdin: string },
  limits: ExecLimits = LIMITS,
): Promise<{ exit: number; stdout: string }> {
  const { type, call, stdin } = o;
  if (!/^[a-zA-Z0-9_.-]+$/.test(type))
    throw new CniFault("invalidConfig", `invalid network configuration: ipam.type: ${JSON.stringify(type)} is no plugin's name`);
  const file = call.path.map((dir) => join(dir, type)).find(isExecutable);
  if (file === undefined)
    throw new CniFault("invalidConfig", `failed to find plugin ${JSON.stringify(type)} in path`, `CNI_PATH=${call.path.join(":")}`);
  const child = spawn(file, [], { env: environmentOf(call), stdio: ["pipe", "pipe", "inherit"] });
  // A plugin that fails before it reads its input closes the pipe; its exit code tells why.
  child.stdin.on("error", () => {});
  child.stdin.end(stdin);
  const output: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const { code, timedOut } = await ended(child, { file, limits });
  const drained = Promise.withResolvers<void>();
  const timer = setTimeout(drained.resolve, limits.drainMs);
  await Promise.race([closed, drained.promise]);
  clearTimeout(timer);
  child.stdout.destroy();
  if (timedOut)
    throw new CniFault(
      "delegate",
      `IPAM plugin ${type} did not end within ${limits.timeoutMs / 1000} s (${call.command})`,
      `${file} was ended`,
    );
  return { exit: code, stdout: Buffer.concat(output).toString() };
}

function environmentOf(call: CniCall): NodeJS.ProcessEnv {
  return {
    ...process.env,
    CNI_COMMAND: call.command,
    CNI_CONTAINERID: call.containerId,
    CNI_NETNS: call.netns,
    CNI_IFNAME: call.ifName,
    CNI_ARGS: call.argsText,
    CNI_PATH: call.path.join(":"),
  };
}

type Ended = { readonly code: number; readonly timedOut: boolean };

function ended(child: ChildProcess, { file, limits }: { readonly file: string; readonly limits: ExecLimits }): Promise<Ended> {
  return new Promise((resolve, reject) => {
    let timedOut = false;
    const asking = setTimeout(() => {
      timedOut = true;
      signalTo(child, "SIGTERM");
    }, limits.timeoutMs);
    const killing = setTimeout(() => signalTo(child, "SIGKILL"), limits.timeoutMs + limits.killAfterMs);
    const over = () => {
      clearTimeout(asking);
      clearTimeout(killing);
    };
    child.once("error", (e) => {
      over();
      reject(new CniFault("delegate", `cannot run plugin ${file}: ${e.message}`));
    });
    child.once("exit", (code) => {
      over();
      resolve({ code: code ?? 1, timedOut });
    });
  });
}

/** Not by child.kill, which on Deno sends one signal and no second. */
function signalTo({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(pid, signal);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ESRCH") throw e;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
