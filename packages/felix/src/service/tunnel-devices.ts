/**
 * Tunnel devices, other nodes' tunnel ends, and the routes into the VXLAN.
 *
 * Source: Calico felix/dataplane/linux (vxlan_mgr.go, ipip_mgr.go), felix/vxlanfdb; facts 5.10.4, 5.10.5.
 */
import type { Link, NetlinkOp, Route } from "@calico/linux";
import { routeKey, sameRoute } from "@calico/linux";
import type { Kernel } from "../ports.ts";
import { IPIP_OVERHEAD, VXLAN_OVERHEAD } from "../domain/mtu.ts";
import { VXLAN_DEVICE } from "../domain/calc/tunnels.ts";
import type { IpipDevice, Program, ProgramDelta, VxlanDevice } from "../domain/program.ts";
import { messageOf } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";

/** RTPROT_CALICO. */
const PROTOCOL_CALICO = 80;

export class TunnelDevices {
  readonly #kernel: Kernel;
  readonly #program: Program;
  #dirty = false;
  #settled = false;
  /** Why a tunnel that is wanted cannot be had; for the status. */
  readonly faults = new Map<"ipip" | "vxlan", string>();

  constructor(kernel: Kernel, program: Program) {
    this.#kernel = kernel;
    this.#program = program;
  }

  stage({ vxlan, ipip, nodeIp, vteps, routes }: ProgramDelta): void {
    if (vxlan !== undefined || ipip !== undefined || nodeIp !== undefined || vteps.length > 0 || routes.length > 0) {
      this.#dirty = true;
      this.#settled = false;
    }
  }

  refresh(): void {
    this.#dirty = true;
  }

  linkChanged(name: string): void {
    if (name === this.#program.vxlan?.name || name === this.#program.ipip?.name) this.#dirty = true;
  }

  /** Compares with the kernel and writes what differs. Tunnels change seldom: each apply looks at all of it. */
  async apply(outcome: Outcome): Promise<void> {
    if (!this.#dirty) return;
    const done: string[] = [];
    try {
      const failuresBefore = outcome.failures.length;
      await this.#applyIpip(done);
      await this.#applyVxlan(done, outcome);
      await this.#applyRoutes(done, outcome);
      this.#dirty = outcome.failures.length > failuresBefore;
    } catch (error) {
      outcome.failures.push(`Cannot set up tunnels: ${messageOf(error)}`);
    }
    outcome.changed.push(...done);
    if (this.#settled) outcome.repaired.push(...done);
    this.#settled = !this.#dirty;
  }

  async #applyIpip(done: string[]): Promise<void> {
    const { ipip } = this.#program;
    this.faults.delete("ipip");
    if (!this.#program.ipipWanted) return;
    if (ipip === undefined) {
      this.faults.set("ipip", "this node has no IPIP tunnel address yet (Node spec.bgp.ipv4IPIPTunnelAddr)");
      return;
    }
    const link = await this.#ensureIpip(ipip, done);
    if (link === undefined) return;
    const mtu = (await this.#parentMtu()) - IPIP_OVERHEAD;
    if (!link.up || link.mtu !== mtu) {
      await this.#kernel.netlink.setLink(ipip.name, { up: true, mtu });
      done.push(`device ${ipip.name}`);
    }
    await this.#ensureAddress(ipip.name, ipip.address, done);
  }

  /** A kernel without IPIP is a fact to report, not a failure to retry in haste: the pool's other traffic is not held up. */
  async #ensureIpip({ name }: IpipDevice, done: string[]): Promise<Link | undefined> {
    const { netlink } = this.#kernel;
    const there = await netlink.link(name);
    if (there !== undefined) return there;
    const [made] = await netlink.apply([{ do: "addLink", spec: { kind: "ipip", name } }]);
    if (made?.ok === true) done.push(`device ${name}`);
    // The module makes tunl0 by itself when it is loaded; then our request says EEXIST.
    const link = await netlink.link(name);
    if (link === undefined && made?.ok === false) this.faults.set("ipip", `this kernel makes no IPIP device: ${made.error.message}`);
    return link;
  }

  async #applyVxlan(done: string[], outcome: Outcome): Promise<void> {
    const { vxlan, vxlanWanted } = this.#program;
    const { netlink } = this.#kernel;
    this.faults.delete("vxlan");
    if (!vxlanWanted && (await netlink.link(VXLAN_DEVICE)) !== undefined) {
      await netlink.deleteLink(VXLAN_DEVICE);
      done.push(`device ${VXLAN_DEVICE} removed`);
    }
    if (vxlanWanted && vxlan === undefined)
      this.faults.set("vxlan", "this node has no VXLAN tunnel address yet (Node spec.ipv4VXLANTunnelAddr)");
    if (vxlan === undefined) return;
    const parent = await this.#parentLink();
    if (parent === undefined) throw new Error(`no interface of this node has its address ${vxlan.local}`);
    const mtu = parent.mtu - VXLAN_OVERHEAD;
    const { name, vni, port, local, mac } = vxlan;
    let link = await netlink.link(name);
    if (link !== undefined && !sameVxlan(link, vxlan, parent)) {
      await netlink.deleteLink(name);
      link = undefined;
    }
    if (link === undefined) {
      await netlink.addLink({ kind: "vxlan", name, vni, port, local, dev: parent.name, mac, mtu, learning: false, up: true });
      done.push(`device ${name}`);
    } else if (!link.up || link.mtu !== mtu) {
      await netlink.setLink(name, { up: true, mtu });
      done.push(`device ${name}`);
    }
    await this.#ensureAddress(name, vxlan.address, done);
    await this.#applyVteps(name, done, outcome);
  }

  async #applyVteps(name: string, done: string[], outcome: Outcome): Promise<void> {
    const { netlink } = this.#kernel;
    const vteps = [...this.#program.vteps.values()];
    const neighbours = new Map((await netlink.neighbours(name)).filter((n) => n.state === "permanent").map((n) => [n.ip, n.mac]));
    const fdb = new Map((await netlink.fdb(name)).filter((e) => e.dst !== undefined).map((e) => [e.mac, e.dst]));
    const ops: NetlinkOp[] = [];
    for (const vtep of vteps) {
      if (neighbours.get(vtep.tunnelIp) !== vtep.mac)
        ops.push({ do: "replaceNeighbour", neighbour: { link: name, ip: vtep.tunnelIp, mac: vtep.mac, state: "permanent" } });
      if (fdb.get(vtep.mac) !== vtep.hostIp)
        ops.push({ do: "replaceFdb", entry: { link: name, mac: vtep.mac, dst: vtep.hostIp, state: "permanent" } });
    }
    const ips = new Set(vteps.map((v) => v.tunnelIp));
    const macs = new Set(vteps.map((v) => v.mac));
    for (const ip of neighbours.keys())
      if (!ips.has(ip) && !ip.includes(":")) ops.push({ do: "deleteNeighbour", neighbour: { link: name, ip } });
    for (const [mac, dst] of fdb)
      if (!macs.has(mac)) ops.push({ do: "deleteFdb", entry: { link: name, mac, ...(dst === undefined ? {} : { dst }) } });
    if (ops.length > 0) done.push(`vteps ${name}`);
    await this.#run(ops, outcome);
  }

  async #applyRoutes(done: string[], outcome: Outcome): Promise<void> {
    const found = await this.#kernel.netlink.routes({ protocol: PROTOCOL_CALICO, type: "unicast", family: 4 });
    const byKey = new Map(found.map((route) => [routeKey(route), route]));
    const parent = this.#program.routes.size > 0 ? await this.#parentLink() : undefined;
    const wanted = [...this.#program.routes.values()].map(({ dst, via, dev }): Route => {
      const out = dev ?? parent?.name;
      return {
        dst,
        type: "unicast",
        via,
        ...(out === undefined ? {} : { dev: out }),
        scope: "global",
        protocol: PROTOCOL_CALICO,
        ...(dev === undefined ? {} : { onlink: true }),
      };
    });
    const keys = new Set(wanted.map(routeKey));
    const ops: NetlinkOp[] = [];
    for (const route of found) if (!keys.has(routeKey(route))) ops.push({ do: "deleteRoute", route });
    for (const route of wanted) {
      const there = byKey.get(routeKey(route));
      if (there === undefined || !sameRoute(route, there)) ops.push({ do: "replaceRoute", route });
    }
    for (const op of ops)
      if (op.do === "replaceRoute" || op.do === "deleteRoute") done.push(`route ${op.route.dst} proto ${PROTOCOL_CALICO}`);
    await this.#run(ops, outcome);
  }

  async #run(ops: readonly NetlinkOp[], outcome: Outcome): Promise<void> {
    if (ops.length === 0) return;
    for (const result of await this.#kernel.netlink.apply(ops))
      if (!result.ok && !(result.error.code === "ESRCH")) outcome.failures.push(result.error.message);
  }

  async #ensureAddress(link: string, address: string, done: string[]): Promise<void> {
    const { netlink } = this.#kernel;
    const wanted = `${address}/32`;
    const found = await netlink.addresses({ link, family: 4 });
    for (const { cidr } of found) if (cidr !== wanted) await netlink.deleteAddress(link, cidr);
    if (found.some(({ cidr }) => cidr === wanted)) return;
    await netlink.replaceAddress(link, wanted);
    done.push(`address ${wanted} dev ${link}`);
  }

  /** The interface that has this node's address. */
  async #parentLink(): Promise<Link | undefined> {
    const local = this.#program.nodeIp;
    if (local === undefined) return undefined;
    const address = (await this.#kernel.netlink.addresses({ family: 4 })).find(({ cidr }) => cidr.split("/")[0] === local);
    return address === undefined ? undefined : this.#kernel.netlink.link(address.link);
  }

  async #parentMtu(): Promise<number> {
    return (await this.#parentLink())?.mtu ?? 1500;
  }
}

function sameVxlan(link: Link, wanted: VxlanDevice, parent: Link): boolean {
  const { vxlan } = link;
  return (
    link.mac === wanted.mac &&
    vxlan !== undefined &&
    vxlan.vni === wanted.vni &&
    vxlan.port === wanted.port &&
    vxlan.local === wanted.local &&
    !vxlan.learning &&
    vxlan.underIndex === parent.index
  );
}
