/**
 * The IP sets that exist without a policy: all pools, pools with outgoing NAT, all nodes, nodes of the VXLAN.
 *
 * Source: Calico felix/dataplane/linux (masq_mgr.go, ipip_mgr.go, vxlan_mgr.go); facts 5.9.3.
 */
import { FIXED_SETS } from "../names.ts";
import type { SetMembers } from "./set-members.ts";

type Contribution = readonly (readonly [set: string, member: string])[];

export class ClusterNets {
  readonly #members: SetMembers;
  readonly #given = new Map<string, Contribution>();

  constructor(members: SetMembers) {
    this.#members = members;
    for (const set of Object.values(FIXED_SETS)) members.create(set, "hash:net");
  }

  setPool(name: string, pool: { readonly cidr: string; readonly natOutgoing: boolean } | undefined): void {
    this.#give(
      `pool ${name}`,
      pool === undefined
        ? []
        : [[FIXED_SETS.allPools, pool.cidr], ...(pool.natOutgoing ? [[FIXED_SETS.natPools, pool.cidr] as const] : [])],
    );
  }

  setHost(name: string, host: { readonly ip: string; readonly remoteVtep: boolean } | undefined): void {
    this.#give(
      `host ${name}`,
      host === undefined ? [] : [[FIXED_SETS.allHosts, host.ip], ...(host.remoteVtep ? [[FIXED_SETS.allVxlan, host.ip] as const] : [])],
    );
  }

  #give(owner: string, contribution: Contribution): void {
    for (const [set, member] of contribution) this.#members.add(set, member);
    for (const [set, member] of this.#given.get(owner) ?? []) this.#members.remove(set, member);
    if (contribution.length === 0) this.#given.delete(owner);
    else this.#given.set(owner, contribution);
  }
}
