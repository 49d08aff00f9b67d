import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, killChild, type MemberHost } from "@calico/datastore/testing";

export interface TestNatsCluster extends AsyncDisposable {
  readonly servers: readonly string[];
  readonly names: readonly string[];
  readonly pids: readonly number[];
  /** `kill -9`; the streams' files stay. */
  kill(member: number): Promise<void>;
  restart(member: number): Promise<void>;
  stop(): Promise<void>;
}

/** Three nats-servers with JetStream as one cluster; on loopback with free ports unless hosts are given. */
export async function startNatsCluster(options: { readonly hosts?: readonly MemberHost[] } = {}): Promise<TestNatsCluster> {
  const hosts = options.hosts ?? Array.from({ length: 3 }, () => ({ address: "127.0.0.1", wrap: [] }));
  const dir = await mkdtemp(join(tmpdir(), `calico-nats3-${process.pid}-`));
  const members = await Promise.all(
    hosts.map(async ({ address, wrap }, i) => {
      const [client, route] = options.hosts === undefined ? [await freePort(), await freePort()] : [4222, 6222];
      return { name: `n${i}`, address, wrap, client, route };
    }),
  );
  const routes = members.map(({ address, route }) => `nats://${address}:${route}`).join();
  const children: ChildProcess[] = [];
  let said = "";
  const launch = (i: number) => {
    const { name, address, wrap, client, route } = members[i]!;
    const args = ["nats-server", "-n", name, "-a", address, "-p", String(client), "-js", "-sd", join(dir, name)];
    args.push("--cluster_name", `calico-${process.pid}`, "--cluster", `nats://${address}:${route}`, "--routes", routes);
    const [command = "", ...rest] = [...wrap, ...args];
    const child = spawn(command, rest, { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-8000)));
    children[i] = child;
  };
  const stop = async () => {
    await Promise.all(children.map(killChild));
    await rm(dir, { recursive: true, force: true });
  };
  for (const i of members.keys()) launch(i);
  const end = Date.now() + 30_000;
  while (!/JetStream cluster new metadata leader|Self is new JetStream cluster metadata leader/.test(said)) {
    if (Date.now() > end || children.some(({ exitCode }) => exitCode !== null)) {
      await stop();
      throw new Error(`Cannot start the nats cluster: ${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    servers: members.map(({ address, client }) => `nats://${address}:${client}`),
    names: members.map(({ name }) => name),
    get pids() {
      return children.map(({ pid }) => pid ?? -1);
    },
    kill: (i) => killChild(children[i]!),
    async restart(i) {
      await killChild(children[i]!);
      launch(i);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
