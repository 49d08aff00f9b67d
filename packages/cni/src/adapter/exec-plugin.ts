import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import process from "node:process";
import type { CniCall } from "../domain/env.ts";
import { CniFault } from "../domain/fault.ts";

const TIMEOUT_MS = 30_000;

/** Run another plugin from CNI_PATH with our call's environment. Its standard error is our log's. */
export async function execPlugin(o: {
  readonly type: string;
  readonly call: CniCall;
  readonly stdin: string;
}): Promise<{ exit: number; stdout: string }> {
  const { type, call, stdin } = o;
  if (!/^[a-zA-Z0-9_.-]+$/.test(type))
    throw new CniFault("invalidConfig", `invalid network configuration: ipam.type: ${JSON.stringify(type)} is no plugin's name`);
  const file = call.path.map((dir) => join(dir, type)).find(isExecutable);
  if (file === undefined)
    throw new CniFault("invalidConfig", `failed to find plugin ${JSON.stringify(type)} in path`, `CNI_PATH=${call.path.join(":")}`);
  const env = {
    ...process.env,
    CNI_COMMAND: call.command,
    CNI_CONTAINERID: call.containerId,
    CNI_NETNS: call.netns,
    CNI_IFNAME: call.ifName,
    CNI_ARGS: call.argsText,
    CNI_PATH: call.path.join(":"),
  };
  const child = spawn(file, [], { env, stdio: ["pipe", "pipe", "inherit"], timeout: TIMEOUT_MS });
  // A plugin that fails before it reads its input closes the pipe; its exit code tells why.
  child.stdin.on("error", () => {});
  child.stdin.end(stdin);
  const exit = new Promise<number>((resolve, reject) => {
    child.once("error", (e) => reject(new CniFault("delegate", `cannot run plugin ${file}: ${e.message}`)));
    child.once("close", (code) => resolve(code ?? 1));
  });
  const [code, output] = await Promise.all([exit, buffer(child.stdout)]);
  return { exit: code, stdout: output.toString() };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
