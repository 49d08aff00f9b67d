import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

export interface TestNats extends AsyncDisposable {
  readonly servers: string[];
  readonly pid: number;
  /** Stop it and remove its data. */
  stop(): Promise<void>;
  /** `kill -9`; the stream's files stay. */
  kill(): Promise<void>;
  /** Start again on the same port and files; kills first if it runs. */
  restart(): Promise<void>;
  /** Start again on the same port without files. */
  wipe(): Promise<void>;
}

export interface TestNatsOptions {
  /** More of the server's configuration: authorization, tls. */
  readonly config?: string;
}

/** A private nats-server with JetStream on a free loopback port, files in a temporary folder. */
export async function startNats({ config = "" }: TestNatsOptions = {}): Promise<TestNats> {
  const dir = await mkdtemp(join(tmpdir(), `calico-nats-${process.pid}-`));
  const port = await freePort();
  await writeFile(join(dir, "nats.conf"), config, { mode: 0o600 });
  let child = await launch(dir, port);
  const kill = () => killChild(child);
  const stop = async () => {
    await kill();
    await rm(dir, { recursive: true, force: true });
  };
  return {
    servers: [`nats://127.0.0.1:${port}`],
    get pid() {
      return child.pid ?? -1;
    },
    stop,
    kill,
    async restart() {
      await kill();
      child = await launch(dir, port);
    },
    async wipe() {
      await kill();
      await rm(join(dir, "js"), { recursive: true, force: true });
      child = await launch(dir, port);
    },
    [Symbol.asyncDispose]: stop,
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function launch(dir: string, port: number): Promise<ChildProcess> {
  const child = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", join(dir, "js"), "-c", join(dir, "nats.conf")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
  const until = Date.now() + 15_000;
  while (child.exitCode === null && Date.now() < until) {
    if (/Server is ready/.test(said) && (await accepts(port))) return child;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await killChild(child);
  throw new Error(`Cannot start nats-server on port ${port}: ${said}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const answer = (yes: boolean) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once("connect", () => answer(true));
    socket.once("error", () => answer(false));
  });
}

async function killChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
