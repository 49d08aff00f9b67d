import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { freePort, startTestServer, type TestServer, untilReady } from "./test-server.ts";

export interface TestEtcd extends TestServer {
  readonly endpoints: string[];
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
  const [client, peerPort, metrics] = [await freePort(), await freePort(), await freePort()];
  const url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${client}`;
  const clients = tls && !anyClient ? ["--client-cert-auth", "--trusted-ca-file", tls.ca] : [];
  const secure = tls && [...clients, "--cert-file", tls.cert, "--key-file", tls.key];
  const healthUrl = `http://127.0.0.1:${metrics}`;
  const extra = [...(secure ?? []), "--listen-metrics-urls", healthUrl, ...flags];
  const server = await startTestServer({ name: "etcd", data: "data", launch: (dir) => launch({ dir, url, peerPort, healthUrl, extra }) });
  return Object.assign(server, { endpoints: [url] });
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
