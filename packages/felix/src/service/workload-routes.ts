/**
 * Routes, neighbours and kernel parameters of workload interfaces. An interface that is not there yet is waited for: the kernel's
 * own event brings it back here.
 *
 * Source: Calico felix/routetable/route_table.go, felix/dataplane/linux/endpoint_mgr.go; facts 5.10.1, 5.10.8.
 */
import type { NetlinkOp, Route } from "@calico/linux";
import { routeKey, sameRoute } from "@calico/linux";
import type { Kernel } from "../ports.ts";
import { INTERFACE_PREFIX } from "../domain/names.ts";
import type { LocalWorkload, Program, ProgramDelta } from "../domain/program.ts";
import { messageOf } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";

/** RTPROT_BOOT, Calico's DeviceRouteProtocol. */
const PROTOCOL_BOOT = 3;
/** Calico's normal route priority. */
const METRIC = 1024;

export class WorkloadRoutes {
  readonly #kernel: Kernel;
  readonly #program: Program;
  readonly #dirty = new Set<string>();
  /** Addresses that an interface had and should not have any more. */
  readonly #gone = new Map<string, Set<string>>();
  readonly #ready = new Set<string>();
  readonly #up = new Set<string>();
  /** Stray routes seen at the last refresh: a CNI ADD under way looks like one. */
  #strays = new Set<string>();
  #refreshDue = true;
  #everRefreshed = false;

  constructor(kernel: Kernel, program: Program) {
    this.#kernel = kernel;
    this.#program = program;
  }

  get waiting(): readonly string[] {
    return [...this.#program.workloads.keys()].filter((iface) => !this.#ready.has(iface));
  }

  isReady(iface: string): boolean {
    return this.#ready.has(iface);
  }

  /** Call before the delta is added to the program. */
  stage({ workloads }: ProgramDelta): void {
    for (const { key: iface, workload } of workloads) {
      const kept = new Set(workload?.addresses);
      const gone = this.#gone.get(iface) ?? new Set();
      for (const address of this.#program.workloads.get(iface)?.addresses ?? []) if (!kept.has(address)) gone.add(address);
      for (const address of kept) gone.delete(address);
      this.#gone.set(iface, gone);
      this.#ready.delete(iface);
      this.#dirty.add(iface);
    }
  }

  linkChanged(name: string, up: boolean): void {
    if (!name.startsWith(INTERFACE_PREFIX) || this.#up.has(name) === up) return;
    if (up) this.#up.add(name);
    else this.#up.delete(name);
    this.#ready.delete(name);
    if (up) this.#dirty.add(name);
  }

  refresh(): void {
    this.#refreshDue = true;
  }

  /** Gives the addresses that no workload of this node has any more. */
  async apply(outcome: Outcome): Promise<readonly string[]> {
    if (this.#refreshDue) await this.#look(outcome);
    const gone: string[] = [];
    for (const iface of [...this.#dirty]) {
      const ops = this.#opsFor(iface);
      if (ops === undefined) continue;
      const failures = await this.#run(iface, ops);
      outcome.failures.push(...failures);
      if (failures.length > 0) continue;
      this.#dirty.delete(iface);
      gone.push(...(this.#gone.get(iface) ?? []));
      this.#gone.delete(iface);
      if (!this.#program.workloads.has(iface)) this.#ready.delete(iface);
      else if (!this.#ready.has(iface)) {
        this.#ready.add(iface);
        outcome.changed.push(`route ${iface}`);
      }
    }
    const inUse = new Set([...this.#program.workloads.values()].flatMap((w) => w.addresses));
    return gone.filter((address) => !inUse.has(address));
  }

  /** What to ask of the kernel; undefined while the interface is not up. */
  #opsFor(iface: string): readonly NetlinkOp[] | undefined {
    const workload = this.#program.workloads.get(iface);
    const up = this.#up.has(iface);
    if (workload !== undefined && !up) return undefined;
    const remove = up
      ? [...(this.#gone.get(iface) ?? [])].map((dst): NetlinkOp => ({ do: "deleteRoute", route: { dst, dev: iface } }))
      : [];
    if (workload === undefined) return remove;
    return [...remove, ...workload.addresses.flatMap((dst) => addOps(dst, workload))];
  }

  async #run(iface: string, ops: readonly NetlinkOp[]): Promise<readonly string[]> {
    const failures: string[] = [];
    const workload = this.#program.workloads.get(iface);
    try {
      if (workload !== undefined) this.#writeSysctls(workload);
      const results = ops.length === 0 ? [] : await this.#kernel.netlink.apply(ops);
      for (const [i, result] of results.entries()) {
        if (result.ok || (ops[i]!.do === "deleteRoute" && ["ESRCH", "ENODEV"].includes(result.error.code))) continue;
        failures.push(`Cannot program ${iface}: ${result.error.message}`);
      }
    } catch (error) {
      failures.push(`Cannot program ${iface}: ${messageOf(error)}`);
    }
    return failures;
  }

  #writeSysctls({ iface, spoofing, addresses }: LocalWorkload): void {
    const write = (name: string, value: string) => this.#kernel.sysctls.write(name, value);
    write(`net/ipv4/conf/${iface}/route_localnet`, "1");
    write(`net/ipv4/conf/${iface}/proxy_arp`, "1");
    write(`net/ipv4/neigh/${iface}/proxy_delay`, "0");
    write(`net/ipv4/conf/${iface}/forwarding`, "1");
    if (spoofing) write(`net/ipv4/conf/${iface}/rp_filter`, "0");
    if (!addresses.some((a) => a.includes(":"))) return;
    write(`net/ipv6/conf/${iface}/accept_ra`, "0");
    write(`net/ipv6/conf/${iface}/proxy_ndp`, "1");
    write(`net/ipv6/conf/${iface}/forwarding`, "1");
  }

  /** Compare the kernel's links and routes with what is wanted. */
  async #look(outcome: Outcome): Promise<void> {
    try {
      const links = await this.#kernel.netlink.links();
      const up = new Set(links.filter((l) => l.name.startsWith(INTERFACE_PREFIX) && l.up).map((l) => l.name));
      for (const name of new Set([...this.#up, ...up])) this.linkChanged(name, up.has(name));
      const found = (await this.#kernel.netlink.routes({ type: "unicast" })).filter(
        (r) => r.dev?.startsWith(INTERFACE_PREFIX) === true && r.protocol === PROTOCOL_BOOT,
      );
      await this.#compare(found, outcome);
      this.#refreshDue = false;
      this.#everRefreshed = true;
    } catch (error) {
      outcome.failures.push(`Cannot read routes: ${messageOf(error)}`);
    }
  }

  async #compare(found: readonly Route[], outcome: Outcome): Promise<void> {
    const byKey = new Map(found.map((route) => [routeKey(route), route]));
    const expected = new Set<string>();
    for (const workload of this.#program.workloads.values()) {
      for (const dst of workload.addresses) {
        const route = routeOf(dst, workload.iface);
        const there = byKey.get(routeKey(route));
        expected.add(routeKey(route));
        if (there !== undefined && sameRoute(route, there)) continue;
        if (this.#ready.has(workload.iface) && this.#everRefreshed) outcome.repaired.push(`route ${dst} dev ${workload.iface}`);
        this.#ready.delete(workload.iface);
        this.#dirty.add(workload.iface);
      }
    }
    await this.#removeStrays(
      found.filter((route) => !expected.has(routeKey(route))),
      outcome,
    );
  }

  /** A stray on a known workload's interface goes at once; on another interface when it is still there at the next look. */
  async #removeStrays(strays: readonly Route[], outcome: Outcome): Promise<void> {
    const remove = strays.filter((r) => this.#program.workloads.has(r.dev!) || this.#strays.has(`${routeKey(r)} ${r.dev}`));
    this.#strays = new Set(strays.map((r) => `${routeKey(r)} ${r.dev}`));
    const results = remove.length === 0 ? [] : await this.#kernel.netlink.apply(remove.map((route) => ({ do: "deleteRoute", route })));
    for (const [i, result] of results.entries()) {
      const route = remove[i]!;
      if (result.ok) outcome.repaired.push(`route ${route.dst} dev ${route.dev} removed`);
      else if (result.error.code !== "ESRCH")
        outcome.failures.push(`Cannot remove route ${route.dst} dev ${route.dev}: ${result.error.message}`);
    }
  }
}

function routeOf(dst: string, dev: string): Route {
  return { dst, type: "unicast", dev, ...(dst.includes(":") ? {} : { scope: "link" as const }), protocol: PROTOCOL_BOOT, metric: METRIC };
}

function addOps(dst: string, { iface, mac }: LocalWorkload): readonly NetlinkOp[] {
  const ip = dst.split("/")[0]!;
  const neighbour: readonly NetlinkOp[] =
    mac === undefined || ip.includes(":") ? [] : [{ do: "replaceNeighbour", neighbour: { link: iface, ip, mac, state: "permanent" } }];
  return [{ do: "replaceRoute", route: routeOf(dst, iface) }, ...neighbour];
}
