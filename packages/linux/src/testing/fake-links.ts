/** Links of the fake kernel: making, changing, removing, and what goes with them. */
import { ERRNO } from "../domain/errno.ts";
import type { LinkChange, LinkSpec, VethPeer } from "../ports.ts";
import { announce, emit } from "./fake-kernel.ts";
import type { FakeKernel, FakeLink, FakeNetns } from "./fake-kernel.ts";
import { connect } from "./fake-routes.ts";
import { Refusal, theLink } from "./refusal.ts";

const MAX_NAME = 15;
const MIN_MTU = 68;

export function addLink(kernel: FakeKernel, netns: FakeNetns, spec: LinkSpec): void {
  if (!kernel.kinds.has(spec.kind)) throw new Refusal(ERRNO.EOPNOTSUPP, "Unknown device type");
  const peerNetns = spec.kind === "veth" ? namespaceOf(kernel, netns, spec.peer.netns) : netns;
  checkNew(netns, spec);
  if (spec.kind === "veth") {
    checkNew(peerNetns, spec.peer);
    if (peerNetns === netns && spec.peer.name === spec.name) throw new Refusal(ERRNO.EEXIST);
  }
  // The kernel numbers a veth's peer first.
  const peer = spec.kind === "veth" ? makeLink(kernel, spec.peer, "veth") : undefined;
  const link = makeLink(kernel, spec, spec.kind);
  if (spec.kind === "vxlan") {
    const { vni, port, local } = spec;
    link.vxlan = {
      vni,
      port,
      local,
      learning: spec.learning ?? false,
      underIndex: spec.dev === undefined ? undefined : theLink(netns, spec.dev).index,
    };
  }
  if (peer) {
    peer.peer = { netns, index: link.index };
    link.peer = { netns: peerNetns, index: peer.index };
    peerNetns.links.push(peer);
    announce(peerNetns, peer);
  }
  netns.links.push(link);
  link.up = spec.up ?? false;
  announce(netns, link);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function makeLink(kernel: FakeKernel, spec: LinkSpec | VethPeer, kind: string): Mutable<FakeLink> {
  const index = kernel.nextIndex++;
  const mac = spec.mac?.toLowerCase() ?? (kind === "ipip" ? undefined : `02:fa:ce:00:00:${(index & 0xff).toString(16).padStart(2, "0")}`);
  return {
    index,
    name: spec.name,
    kind,
    up: false,
    carrier: false,
    mtu: spec.mtu ?? (kind === "ipip" ? 1480 : 1500),
    mac,
    txqlen: spec.txqlen ?? 1000,
  };
}

function checkNew(netns: FakeNetns, spec: LinkSpec | VethPeer): void {
  if (spec.name.length > MAX_NAME) throw new Refusal(ERRNO.ERANGE, "Attribute failed policy validation");
  if (spec.name === "" || /[/\s:]/.test(spec.name)) throw new Refusal(ERRNO.EINVAL);
  if (netns.links.some((l) => l.name === spec.name)) throw new Refusal(ERRNO.EEXIST);
  if (spec.mtu !== undefined && spec.mtu < MIN_MTU) throw new Refusal(ERRNO.EINVAL, "mtu less than device minimum");
}

function namespaceOf(kernel: FakeKernel, own: FakeNetns, path: string | undefined): FakeNetns {
  if (path === undefined) return own;
  const found = kernel.namespaces.get(path);
  if (!found) throw new Refusal(ERRNO.ENOENT, `no network namespace ${path}`);
  return found;
}

export function setLink(kernel: FakeKernel, netns: FakeNetns, name: string, set: LinkChange): void {
  const link = theLink(netns, name) as Mutable<FakeLink>;
  const target = namespaceOf(kernel, netns, set.netns);
  const newName = set.name ?? link.name;
  const moves = target !== netns;
  if ((moves || newName !== link.name) && target.links.some((l) => l.name === newName)) throw new Refusal(ERRNO.EEXIST);
  if (newName !== link.name && link.up && !moves) throw new Refusal(ERRNO.EBUSY);
  if (set.mtu !== undefined && set.mtu < MIN_MTU) throw new Refusal(ERRNO.EINVAL, "mtu less than device minimum");
  if (set.master !== undefined) link.master = set.master === "" ? undefined : theLink(netns, set.master).index;
  if (set.mac !== undefined) link.mac = set.mac.toLowerCase();
  if (set.mtu !== undefined) link.mtu = set.mtu;
  if (set.txqlen !== undefined) link.txqlen = set.txqlen;
  if (moves) move(netns, target, link, newName);
  link.name = newName;
  if (set.up === true && !link.up) goUp(target, link);
  else if (set.up === false && link.up) goDown(target, link);
  else announce(target, link);
}

/** Moving takes it down and drops all that hung on it. */
function move(from: FakeNetns, to: FakeNetns, link: Mutable<FakeLink>, newName: string): void {
  forget(from, link.index);
  from.links = from.links.filter((l) => l.index !== link.index);
  emit(from, { kind: "linkRemoved", index: link.index, name: link.name });
  link.up = false;
  link.name = newName;
  to.links.push(link);
  for (const peer of link.peer?.netns.links ?? []) if (peer.index === link.peer?.index && peer.peer) peer.peer.netns = to;
}

function goUp(netns: FakeNetns, link: Mutable<FakeLink>): void {
  link.up = true;
  announce(netns, link);
  for (const { cidr } of netns.addresses.filter((a) => a.index === link.index)) connect(netns, link, cidr);
}

/** The kernel removes the routes and neighbours of a link that goes down, and its IPv6 addresses. */
function goDown(netns: FakeNetns, link: Mutable<FakeLink>): void {
  link.up = false;
  announce(netns, link);
  dropRoutes(netns, link.index);
  netns.neighbours = netns.neighbours.filter((n) => n.index !== link.index || n.proxy === true);
  netns.addresses = netns.addresses.filter((a) => a.index !== link.index || !a.cidr.includes(":"));
}

export function deleteLink(netns: FakeNetns, name: string): void {
  const link = theLink(netns, name);
  if (link.kind === undefined) throw new Refusal(ERRNO.EOPNOTSUPP);
  const peer = link.peer;
  remove(netns, link.index);
  if (peer) remove(peer.netns, peer.index);
}

function remove(netns: FakeNetns, index: number): void {
  const link = netns.links.find((l) => l.index === index);
  if (!link) return;
  forget(netns, index);
  netns.links = netns.links.filter((l) => l !== link);
  emit(netns, { kind: "linkRemoved", index, name: link.name });
}

function forget(netns: FakeNetns, index: number): void {
  dropRoutes(netns, index);
  netns.addresses = netns.addresses.filter((a) => a.index !== index);
  netns.neighbours = netns.neighbours.filter((n) => n.index !== index);
  netns.fdb = netns.fdb.filter((e) => e.index !== index);
}

/** IPv4 routes vanish without an event, as in the kernel; IPv6 ones with one. */
function dropRoutes(netns: FakeNetns, index: number): void {
  const gone = netns.routes.filter((r) => r.indexes.includes(index));
  netns.routes = netns.routes.filter((r) => !r.indexes.includes(index));
  for (const { route } of gone) if (route.dst.includes(":")) emit(netns, { kind: "routeRemoved", route });
}
