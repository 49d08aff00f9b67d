import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exec } from "../adapter/exec.ts";
import { makeMember, type Member } from "./adapter/member.ts";
import { buildClusterNet, removeClusterNet, setCable } from "./adapter/network.ts";
import { NATS_CONF } from "../domain/processes.ts";
import { type ClusterPlan, etcdArgv, etcdEndpoints, natsArgv, natsServers } from "./plan.ts";

export interface Cluster extends AsyncDisposable {
  readonly plan: ClusterPlan;
  readonly etcd: readonly string[];
  readonly nats: readonly string[];
  readonly pids: readonly { readonly member: string; readonly etcd: number | undefined; readonly nats: number | undefined }[];
  /** `kill -9` of a member's etcd and nats-server; their files stay. */
  kill(member: number): Promise<void>;
  restart(member: number): Promise<void>;
  /** Cut a member off from the others and from its clients, or let it come back. Only in namespaces. */
  partition(member: number): Promise<void>;
  heal(member: number): Promise<void>;
  /** Resolves when etcd commits and JetStream has a leader. */
  ready(signal: AbortSignal): Promise<void>;
}

/** Start both clusters; dispose to end them and to remove what they made. */
export async function startCluster(plan: ClusterPlan): Promise<Cluster> {
  const dir = await mkdtemp(join(tmpdir(), `calico-cluster-${plan.id}-`));
  const conf = join(dir, "nats.conf");
  await writeFile(conf, NATS_CONF);
  const servers = plan.members.map((m) => ({
    etcd: makeMember(etcdArgv(plan, m, join(dir, m.name, "etcd")), m.netns),
    nats: makeMember([...natsArgv(plan, m, join(dir, m.name, "nats")), "-c", conf], m.netns),
  }));
  const at = (i: number) => {
    const found = servers[i];
    if (found === undefined) throw new Error(`Cannot find member ${i}; there are ${servers.length}`);
    return found;
  };
  const both = (i: number): readonly Member[] => [at(i).etcd, at(i).nats];
  const kill = async (i: number) => void (await Promise.all(both(i).map((m) => m.kill())));
  const start = (i: number) => both(i).forEach((m) => m.start());
  const end = async () => {
    await Promise.all(servers.map((_, i) => kill(i)));
    await removeClusterNet(plan);
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await buildClusterNet(plan);
    servers.forEach((_, i) => start(i));
  } catch (error) {
    await end();
    throw error;
  }
  return {
    plan,
    etcd: etcdEndpoints(plan),
    nats: natsServers(plan),
    get pids() {
      return plan.members.map(({ name }, i) => ({ member: name, etcd: at(i).etcd.pid, nats: at(i).nats.pid }));
    },
    kill,
    async restart(i) {
      await kill(i);
      start(i);
    },
    partition: (i) => setCable(plan, i, false),
    heal: (i) => setCable(plan, i, true),
    ready: (signal) => untilReady(plan, servers, signal),
    [Symbol.asyncDispose]: end,
  };
}

async function untilReady(plan: ClusterPlan, servers: readonly { readonly etcd: Member; readonly nats: Member }[], signal: AbortSignal) {
  const until = Date.now() + 30_000;
  while (Date.now() < until) {
    signal.throwIfAborted();
    const leads = servers.some(({ nats }) => /JetStream cluster new metadata leader/.test(nats.said()));
    if (leads && (await etcdHealthy(plan))) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Cannot start cluster ${plan.id} within 30 s: ${servers.map(({ etcd, nats }) => etcd.said() + nats.said()).join("\n")}`);
}

/** A member's health page commits a read, so it says that there is a quorum. Asked from where clients are. */
async function etcdHealthy(plan: ClusterPlan): Promise<boolean> {
  const where = plan.net === undefined ? {} : { netns: plan.net.clientNetns };
  const all = await Promise.all(etcdEndpoints(plan).map((url) => exec(["curl", "-sf", "-m", "1", `${url}/health`], where)));
  return all.every(({ code }) => code === 0);
}
