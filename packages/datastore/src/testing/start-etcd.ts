import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TestEtcd extends AsyncDisposable {
  readonly endpoints: string[];
  readonly pid: number;
  /** Stop it and remove its data. */
  stop(): Promise<void>;
  /** `kill -9`; data stay. */
  kill(): Promise<void>;
  /** Start again on the same port and data; kills first if it runs. */
  restart(): Promise<void>;
  /** Start again on the same port with empty data. */
  wipe(): Promise<void>;
}

export interface TestEtcdOptions {
  /** Files: the server shows `cert`, and wants a certificate by `ca` of its clients. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  /** With `tls`: who has no certificate is let in, too. */
  readonly anyClient?: boolean;
  /** More of etcd's own flags. */
  readonly flags?: readonly string[];
}

/** A private etcd on a free loopback port with data in a temporary folder. */
export async function startEtcd({ tls, anyClient = false, flags = [] }: TestEtcdOptions = {}): Promise<TestEtcd> {
  const dir = await mkdtemp(join(tmpdir(), `calico-etcd-${process.pid}-`));
  const [client, peer, metrics] = [await freePort(), await freePort(), await freePort()];
  const url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${client}`;
  const clients = tls && !anyClient ? ["--client-cert-auth", "--trusted-ca-file", tls.ca] : [];
  const secure = tls && [...clients, "--cert-file", tls.cert, "--key-file", tls.key];
  const healthUrl = `http://127.0.0.1:${metrics}`;
  const extra = [...(secure ?? []), "--listen-metrics-urls", healthUrl, ...flags];
  const start = () => launch({ dir, url, peerPort: peer, healthUrl, extra });
  let child = await start();
  const kill = () => killChild(child);
  const stop = async () => {
    await kill();
    await rm(dir, { recursive: true, force: true });
  };
  const restart = async () => {
    await kill();
    child = await start();
  };
  return {
    endpoints: [url],
    get pid() {
      return child.pid ?? -1;
    },
    stop,
    kill,
    restart,
    async wipe() {
      await kill();
      await rm(join(dir, "data"), { recursive: true, force: true });
      child = await start();
    },
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

async function launch(o: {
  dir: string;
  url: string;
  peerPort: number;
  healthUrl: string;
  extra: readonly string[];
}): Promise<ChildProcess> {
  const { dir, url, peerPort, healthUrl, extra } = o;
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = ["--name", "test", "--data-dir", join(dir, "data"), "--listen-client-urls", url, "--advertise-client-urls", url];
  args.push("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `test=${peer}`);
  args.push("--heartbeat-interval", "50", "--election-timeout", "250"); // one member: be ready in a quarter of a second
  args.push("--unsafe-no-fsync", "--logger", "zap", "--log-level", "error", ...extra);
  const child = spawn("etcd", args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
  await untilReady(
    child,
    async () => (await fetch(`${healthUrl}/health`)).ok,
    () => `Cannot start etcd at ${url}: ${said}`,
  );
  return child;
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
