/** A 3-member etcd and a 3-member NATS cluster on one machine: who listens where, with which command line. */

export interface MemberPlan {
  readonly name: string;
  /** Undefined: on the machine's own loopback. */
  readonly netns: string | undefined;
  readonly address: string;
  readonly ports: { readonly etcd: number; readonly etcdPeer: number; readonly nats: number; readonly natsRoute: number };
}

export interface ClusterPlan {
  readonly id: string;
  readonly members: readonly MemberPlan[];
  /** With namespaces: the one with the switch, and the one from which the cluster is used. */
  readonly net: { readonly switchNetns: string; readonly clientNetns: string } | undefined;
}

const MEMBERS = [0, 1, 2];
const PORTS = { etcd: 2379, etcdPeer: 2380, nats: 4222, natsRoute: 6222 };

/** Each member in a network namespace of its own, so that it can be cut off. */
export function planInNamespaces(id: string): ClusterPlan {
  return {
    id,
    net: { switchNetns: `${id}-sw`, clientNetns: `${id}-c` },
    members: MEMBERS.map((i) => ({ name: `m${i}`, netns: `${id}-m${i}`, address: `10.99.0.${i + 1}`, ports: PORTS })),
  };
}

/** All on loopback, ports from `base` on in steps of ten. */
export function planOnLoopback(id: string, base: number): ClusterPlan {
  return {
    id,
    net: undefined,
    members: MEMBERS.map((i) => {
      const at = base + 10 * i;
      return {
        name: `m${i}`,
        netns: undefined,
        address: "127.0.0.1",
        ports: { etcd: at, etcdPeer: at + 1, nats: at + 2, natsRoute: at + 3 },
      };
    }),
  };
}

export function etcdEndpoints({ members }: ClusterPlan): readonly string[] {
  return members.map(({ address, ports }) => `http://${address}:${ports.etcd}`);
}

export function natsServers({ members }: ClusterPlan): readonly string[] {
  return members.map(({ address, ports }) => `nats://${address}:${ports.nats}`);
}

export function etcdArgv({ id, members }: ClusterPlan, member: MemberPlan, dataDir: string): readonly string[] {
  const client = `http://${member.address}:${member.ports.etcd}`;
  const peerOf = ({ address, ports }: MemberPlan) => `http://${address}:${ports.etcdPeer}`;
  const initial = members.map((m) => `${m.name}=${peerOf(m)}`).join();
  return [
    "etcd",
    ...["--name", member.name, "--data-dir", dataDir, "--listen-client-urls", client, "--advertise-client-urls", client],
    ...["--listen-peer-urls", peerOf(member), "--initial-advertise-peer-urls", peerOf(member)],
    ...["--initial-cluster", initial, "--initial-cluster-token", id, "--logger", "zap", "--log-level", "warn"],
  ];
}

export function natsArgv({ id, members }: ClusterPlan, member: MemberPlan, dataDir: string): readonly string[] {
  const routes = members.map(({ address, ports }) => `nats://${address}:${ports.natsRoute}`).join();
  return [
    "nats-server",
    ...["-n", member.name, "-a", member.address, "-p", String(member.ports.nats), "-js", "-sd", dataDir],
    ...["--cluster_name", id, "--cluster", `nats://${member.address}:${member.ports.natsRoute}`, "--routes", routes],
  ];
}
