import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, killChild } from "./test-server.ts";

/** Where a member runs: an address, and what is put before its command line, for example `nsenter --net=…`. */
export interface MemberHost {
  readonly address: string;
  readonly wrap: readonly string[];
}

export interface TestEtcdCluster extends AsyncDisposable {
  readonly endpoints: readonly string[];
  readonly pids: readonly number[];
  /** `kill -9`; data stay. */
  kill(member: number): Promise<void>;
  restart(member: number): Promise<void>;
  stop(): Promise<void>;
}

/** Three etcds (or `size`) as one cluster; on loopback with free ports unless hosts are given. */
export async function startEtcdCluster(
  options: { readonly hosts?: readonly MemberHost[]; readonly size?: number; readonly extra?: readonly string[] } = {},
): Promise<TestEtcdCluster> {
  const hosts = options.hosts ?? Array.from({ length: options.size ?? 3 }, () => ({ address: "127.0.0.1", wrap: [] }));
  const dir = await mkdtemp(join(tmpdir(), `calico-etcd3-${process.pid}-`));
  const members = await Promise.all(
    hosts.map(async ({ address, wrap }, i) => {
      const [client, peer] = options.hosts === undefined ? [await freePort(), await freePort()] : [2379, 2380];
      return { name: `m${i}`, wrap, client: `http://${address}:${client}`, peer: `http://${address}:${peer}` };
    }),
  );
  const initial = members.map(({ name, peer }) => `${name}=${peer}`).join();
  const children: ChildProcess[] = [];
  const launch = (i: number) => {
    const { name, wrap, client, peer } = members[i]!;
    const args = ["etcd", "--name", name, "--data-dir", join(dir, name), "--listen-client-urls", client, "--advertise-client-urls", client];
    args.push("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", initial);
    args.push("--heartbeat-interval", "100", "--election-timeout", "1000", "--unsafe-no-fsync", "--logger", "zap", "--log-level", "error");
    const [command = "", ...rest] = [...wrap, ...args, ...(options.extra ?? [])];
    children[i] = spawn(command, rest, { stdio: ["ignore", "ignore", "ignore"] });
  };
  const killMember = async (i: number) => {
    const child = children[i];
    if (child !== undefined) await killChild(child);
  };
  const stop = async () => {
    await Promise.all(members.map((_, i) => killMember(i)));
    await rm(dir, { recursive: true, force: true });
  };
  for (const i of members.keys()) launch(i);
  try {
    await Promise.all(members.map(({ client, wrap }, i) => untilHealthy(client, wrap, () => children[i]!)));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoints: members.map(({ client }) => client),
    get pids() {
      return children.map(({ pid }) => pid ?? -1);
    },
    kill: killMember,
    async restart(i) {
      await killMember(i);
      launch(i);
      const { client, wrap } = members[i]!;
      await untilHealthy(client, wrap, () => children[i]!);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** etcdctl would need the API's version and flags; the health page is plain HTTP. */
async function untilHealthy(client: string, wrap: readonly string[], child: () => ChildProcess): Promise<void> {
  const end = Date.now() + 20_000;
  while (Date.now() < end && child().exitCode === null) {
    if (await isHealthy(client, wrap)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Cannot start the etcd member ${client}: it ended or was not healthy within 20 s`);
}

async function isHealthy(client: string, wrap: readonly string[]): Promise<boolean> {
  if (wrap.length === 0)
    return await fetch(`${client}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
  const [command = "", ...rest] = [...wrap, "curl", "-sf", "-m", "1", `${client}/health`];
  const asked = spawn(command, rest, { stdio: "ignore" });
  return await new Promise((resolve) => asked.once("exit", (code) => resolve(code === 0)).once("error", () => resolve(false)));
}
