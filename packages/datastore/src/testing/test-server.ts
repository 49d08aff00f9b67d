import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** A server program for a test: on loopback, with its files in a temporary folder. */
export interface TestServer extends AsyncDisposable {
  readonly pid: number;
  /** Stop it and remove its files. */
  stop(): Promise<void>;
  /** `kill -9`; files stay. */
  kill(): Promise<void>;
  /** Start again on the same port and files; kills first if it runs. */
  restart(): Promise<void>;
  /** Start again on the same port with `data` removed. */
  wipe(): Promise<void>;
}

/** `launch` starts it in the folder and resolves when it answers; `data` is the folder, below that one, of what a wipe forgets. */
export async function startTestServer(o: {
  readonly name: string;
  readonly data: string;
  readonly launch: (dir: string) => Promise<ChildProcess>;
}): Promise<TestServer> {
  const dir = await mkdtemp(join(tmpdir(), `calico-${o.name}-${process.pid}-`));
  let child = await o.launch(dir);
  const restart = async (forget?: string) => {
    await killChild(child);
    if (forget !== undefined) await rm(join(dir, forget), { recursive: true, force: true });
    child = await o.launch(dir);
  };
  const stop = async () => {
    await killChild(child);
    await rm(dir, { recursive: true, force: true });
  };
  return {
    get pid() {
      return child.pid ?? -1;
    },
    stop,
    kill: () => killChild(child),
    restart: () => restart(),
    wipe: () => restart(o.data),
    [Symbol.asyncDispose]: stop,
  };
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Poll until `probe` says yes; fails when the process ends first or 15 s pass. */
export async function untilReady(child: ChildProcess, probe: () => Promise<boolean>, explain: () => string): Promise<void> {
  const until = Date.now() + 15_000;
  let failed: unknown;
  child.once("error", (error) => (failed = error));
  while (failed === undefined && child.exitCode === null && Date.now() < until) {
    if (await probe().catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await killChild(child);
  throw new Error(explain(), { cause: failed });
}

export async function killChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
