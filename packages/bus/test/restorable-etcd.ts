import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, killChild } from "@calico/datastore/testing";

export interface RestorableEtcd extends AsyncDisposable {
  readonly endpoints: readonly string[];
  /** As an operator calls etcdctl. Rejects with what it said when it fails. */
  etcdctl(...args: readonly string[]): Promise<void>;
  snapshot(): Promise<void>;
  /** Start again on the same port, with the data of the snapshot or with none. */
  begin(from: "snapshot" | "nothing"): Promise<void>;
}

/** One etcd whose data an operator replaces. */
export async function startRestorableEtcd(): Promise<RestorableEtcd> {
  const dir = await mkdtemp(join(tmpdir(), `calico-restorable-${process.pid}-`));
  const [data, snapshot] = [join(dir, "data"), join(dir, "snapshot")];
  const url = `http://127.0.0.1:${await freePort()}`;
  const peer = `http://127.0.0.1:${await freePort()}`;
  const member = ["--name", "m", "--data-dir", data, "--initial-cluster", `m=${peer}`, "--initial-advertise-peer-urls", peer];
  const listen = ["--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", peer, "--unsafe-no-fsync"];
  let server: ChildProcess | undefined;
  const kill = async () => server && (await killChild(server));
  const start = async () => {
    server = spawn("etcd", [...member, ...listen, "--logger", "zap", "--log-level", "error"], { stdio: "ignore" });
    while (!(await isHealthy(url))) {
      if (server.exitCode !== null) throw new Error(`etcd ended with ${server.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const etcdctl = async (...args: readonly string[]) => {
    const child = spawn("etcdctl", args, { env: { ...process.env, ETCDCTL_API: "3" }, stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(child, "close")) as [number | null];
    if (code !== 0) throw new Error(`Cannot run etcdctl ${args.join(" ")}: ${said}`);
  };
  await start();
  return {
    endpoints: [url],
    etcdctl: (...args) => etcdctl("--endpoints", url, ...args),
    snapshot: () => etcdctl("--endpoints", url, "snapshot", "save", snapshot),
    async begin(from) {
      await kill();
      await rm(data, { recursive: true, force: true });
      if (from === "snapshot") await etcdctl("snapshot", "restore", snapshot, ...member);
      await start();
    },
    async [Symbol.asyncDispose]() {
      await kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function isHealthy(url: string): Promise<boolean> {
  return fetch(`${url}/health`).then(
    ({ ok }) => ok,
    () => false,
  );
}
