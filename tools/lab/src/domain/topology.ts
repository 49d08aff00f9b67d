/**
 * The seed's two nodes on one machine, as names and addresses; nothing here touches the machine.
 *
 * Every namespace, process and file of a lab carries the lab's id, so two labs (the demonstration and a test) can run side by side,
 * and a teardown with no memory finds all of it by name.
 */
export interface NodePlan {
  readonly name: string;
  readonly netns: string;
  /** enp0s3, the node's own network, with the default route. */
  readonly lanIp: string;
  /** enp0s8, the BGP peering network. */
  readonly bgpIp: string;
  readonly runDir: string;
  readonly varDir: string;
  readonly cniConfDir: string;
}

export interface Topology {
  readonly id: string;
  readonly dir: string;
  readonly fabricNetns: string;
  /** The master: etcd, NATS, the API server and the controllers. */
  readonly controlNetns: string;
  /** The world outside: the nodes' default gateway, with a web server on it. */
  readonly outsideNetns: string;
  readonly control: { readonly lanIp: string; readonly bgpIp: string };
  readonly gatewayIp: string;
  readonly nodes: readonly NodePlan[];
}

export const NETWORK = {
  lan: { bridge: "br-lan", device: "enp0s3", prefixLen: 24 },
  bgp: { bridge: "br-bgp", device: "enp0s8", prefixLen: 24 },
  serviceCidr: "10.96.0.0/12",
  apiServiceIp: "10.96.0.1",
  etcdServiceIp: "10.96.232.136",
  dnsServiceIp: "10.96.0.10",
  podPool: "192.200.0.0/16",
  blockSize: 26,
} as const;

export const PORTS = { etcd: 2379, etcdService: 6666, nats: 4222, api: 6443, outsideWeb: 8000 } as const;

/** `count` nodes as the seed numbers them: 10.0.2.6, .7, … and 192.168.81.101, .102, …. Ids are short: they prefix namespace names. */
export function planTopology(id: string, count = 2): Topology {
  if (!/^[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?$/.test(id))
    throw new Error(`Cannot name a lab "${id}": expected at most 16 lower-case letters, digits and dashes, not at either end`);
  if (count < 1 || count > 50) throw new Error(`Cannot build a lab of ${count} nodes: expected 1 to 50`);
  const dir = `/run/calico-lab/${id}`;
  const node = (i: number): NodePlan => ({
    name: `node${i + 1}`,
    netns: `${id}-node${i + 1}`,
    lanIp: `10.0.2.${6 + i}`,
    bgpIp: `192.168.81.${101 + i}`,
    runDir: `${dir}/node${i + 1}/run`,
    varDir: `${dir}/node${i + 1}/var`,
    cniConfDir: `${dir}/node${i + 1}/net.d`,
  });
  return {
    id,
    dir,
    fabricNetns: `${id}-fabric`,
    controlNetns: `${id}-ctl`,
    outsideNetns: `${id}-outside`,
    control: { lanIp: "10.0.2.5", bgpIp: "192.168.81.100" },
    gatewayIp: "10.0.2.1",
    nodes: Array.from({ length: count }, (_, i) => node(i)),
  };
}

/** What `ip -batch` has to do, per namespace, in order; `undefined` is the fabric, where the cables are made. */
export function renderFabric(t: Topology): readonly { readonly netns: string; readonly batch: readonly string[] }[] {
  const { lan, bgp } = NETWORK;
  const machines = [
    { netns: t.controlNetns, port: "ctl", lanIp: t.control.lanIp, bgpIp: t.control.bgpIp, gateway: t.gatewayIp },
    ...t.nodes.map((n, i) => ({ netns: n.netns, port: `n${i + 1}`, lanIp: n.lanIp, bgpIp: n.bgpIp, gateway: t.gatewayIp })),
    { netns: t.outsideNetns, port: "out", lanIp: t.gatewayIp, bgpIp: undefined, gateway: undefined },
  ];
  const cable = (bridge: string, port: string, netns: string, device: string) => [
    `link add ${port} type veth peer name ${device} netns ${netns}`,
    `link set ${port} master ${bridge} up`,
  ];
  const fabric = [
    "link set lo up",
    `link add ${lan.bridge} type bridge forward_delay 0`,
    `link add ${bgp.bridge} type bridge forward_delay 0`,
    `link set ${lan.bridge} up`,
    `link set ${bgp.bridge} up`,
    ...machines.flatMap((m) => [
      ...cable(lan.bridge, `${m.port}-lan`, m.netns, lan.device),
      ...(m.bgpIp === undefined ? [] : cable(bgp.bridge, `${m.port}-bgp`, m.netns, bgp.device)),
    ]),
  ];
  const machine = (m: (typeof machines)[number]) => [
    "link set lo up",
    `address add ${m.lanIp}/${lan.prefixLen} dev ${lan.device}`,
    `link set ${lan.device} up`,
    ...(m.bgpIp === undefined ? [] : [`address add ${m.bgpIp}/${bgp.prefixLen} dev ${bgp.device}`, `link set ${bgp.device} up`]),
    ...(m.gateway === undefined ? [] : [`route add default via ${m.gateway} dev ${lan.device}`]),
  ];
  return [{ netns: t.fabricNetns, batch: fabric }, ...machines.map((m) => ({ netns: m.netns, batch: machine(m) }))];
}
