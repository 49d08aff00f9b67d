import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import process from "node:process";
import { freePort } from "@calico/datastore/testing";
import { type Lab, root } from "../src/service/lab.ts";

export interface LogLine {
  readonly message: string;
  readonly level: string;
  readonly ip?: string;
  readonly [field: string]: unknown;
}

export interface ControllersProcess extends AsyncDisposable {
  readonly lines: readonly LogLine[];
  said(message: string): readonly LogLine[];
  /** The health answer's part about one controller. */
  status(controller: string): Promise<Record<string, unknown>>;
  /** The lines of the metrics page that begin with this. */
  metric(prefix: string): Promise<readonly string[]>;
  end(signal: "SIGTERM" | "SIGKILL"): Promise<number | NodeJS.Signals | null>;
}

/** kube-controllers as a process of the test's own, on the lab's store and bus. */
export async function startControllers(lab: Lab, kubeconfig: string, args: readonly string[]): Promise<ControllersProcess> {
  const port = await freePort();
  const where = ["--kubeconfig", kubeconfig, "--etcd", lab.endpoints.etcd, "--nats", lab.endpoints.nats, "--node", "gc-test"];
  const argv = ["packages/kube-controllers/src/main.ts", ...where, "--health-port", String(port), ...args];
  const child: ChildProcess = spawn(`${root}/setup/run.sh`, argv, { stdio: ["ignore", "inherit", "pipe"], env: process.env });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code)));
  const lines: LogLine[] = [];
  if (child.stderr !== null) createInterface({ input: child.stderr }).on("line", (line) => lines.push(parseLine(line)));
  const read = async (path: string) => await (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  return {
    lines,
    said: (message) => lines.filter((line) => line.message === message),
    async status(controller) {
      const { detail } = JSON.parse(await read("/readiness")) as { detail: Record<string, Record<string, unknown>> };
      return detail[controller] ?? {};
    },
    metric: async (prefix) => (await read("/metrics")).split("\n").filter((line) => line.startsWith(prefix)),
    end(signal) {
      child.kill(signal);
      return ended;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Whatever is not a log line, such as a crash, is kept as it is. */
function parseLine(line: string): LogLine {
  try {
    const { msg, ...fields } = JSON.parse(line) as LogLine & { readonly msg: string };
    return { ...fields, message: msg };
  } catch {
    return { level: "raw", message: line };
  }
}
