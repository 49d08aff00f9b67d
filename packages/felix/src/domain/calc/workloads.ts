/**
 * This node's workloads as chains, dispatch and routes.
 *
 * An interface belongs to one workload. Of two that claim it, the one whose name sorts first has it; the other is reported.
 *
 * Source: Calico felix/dataplane/linux/endpoint_mgr.go.
 */
import type { IPAMBlockValue } from "@calico/model";
import type { Marks } from "../marks.ts";
import { DISPATCH, INTERFACE_PREFIX } from "../names.ts";
import type { LocalWorkload, WorkloadChange } from "../program.ts";
import { bucketOf, renderRoot, renderSubChain, subChainName } from "../render/dispatch.ts";
import type { DispatchSide } from "../render/dispatch.ts";
import type { EndpointRenderer } from "../render/endpoint-chains.ts";
import { endpointChainName, makeEndpointRenderer } from "../render/endpoint-chains.ts";
import { RPF_SKIP, renderRpfSkip } from "../render/static-others.ts";
import { Elsewhere } from "./elsewhere.ts";
import type { ActivePolicies } from "./active-policies.ts";
import type { ChainOutput } from "./chain-output.ts";
import type { Endpoint } from "./endpoint.ts";
import { KeyedOutput, sameJson } from "./keyed-output.ts";

const SIDES = Object.keys(DISPATCH) as readonly DispatchSide[];

export class Workloads {
  readonly #chains: ChainOutput;
  readonly #policies: ActivePolicies;
  readonly #renderEndpoint: EndpointRenderer;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #claims = new Map<string, Set<string>>();
  readonly #dirtyIfaces = new Set<string>();
  /** Interfaces that have chains, by bucket. */
  readonly #buckets = new Map<string, Set<string>>();
  readonly #elsewhere: Elsewhere;
  readonly #spoofers = new Map<string, readonly string[]>();
  readonly #out = new KeyedOutput<LocalWorkload>(sameJson);
  #dispatched = false;

  constructor(o: {
    readonly node: string;
    readonly chains: ChainOutput;
    readonly policies: ActivePolicies;
    readonly marks: Marks;
    readonly vxlanPort: number;
  }) {
    this.#elsewhere = new Elsewhere(o.node);
    this.#chains = o.chains;
    this.#policies = o.policies;
    this.#renderEndpoint = makeEndpointRenderer(o);
  }

  get count(): number {
    return this.#endpoints.size;
  }

  get(key: string): Endpoint | undefined {
    return this.#endpoints.get(key);
  }

  set(endpoint: Endpoint): void {
    const before = this.#endpoints.get(endpoint.key);
    if (before !== undefined && before.iface !== endpoint.iface) this.#unclaim(before);
    this.#endpoints.set(endpoint.key, endpoint);
    this.#policies.setEndpoint(endpoint, before);
    if (endpoint.iface === undefined) return;
    const claims = this.#claims.get(endpoint.iface) ?? new Set();
    this.#claims.set(endpoint.iface, claims.add(endpoint.key));
    this.#dirtyIfaces.add(endpoint.iface);
  }

  delete(key: string): void {
    const endpoint = this.#endpoints.get(key);
    if (endpoint === undefined) return;
    this.#endpoints.delete(key);
    this.#policies.deleteEndpoint(endpoint);
    this.#unclaim(endpoint);
  }

  /** The block says which node has a virtual machine's address. */
  setBlock(key: string, value: IPAMBlockValue | undefined): void {
    const changed = this.#elsewhere.setBlock(key, value);
    if (changed.size === 0) return;
    for (const { iface, addresses } of this.#endpoints.values())
      if (iface !== undefined && addresses.some((address) => changed.has(address))) this.#dirtyIfaces.add(iface);
  }

  /** Why a workload cannot be programmed; undefined if it can. */
  faultOf(endpoint: Endpoint): string | undefined {
    const { iface } = endpoint;
    if (iface === undefined) return "it has no interface yet";
    if (!iface.startsWith(INTERFACE_PREFIX)) return `interface ${iface} does not begin with "${INTERFACE_PREFIX}"`;
    const owner = this.#ownerOf(iface);
    return owner === endpoint.key ? undefined : `interface ${iface} belongs to ${owner}`;
  }

  #unclaim({ key, iface }: Endpoint): void {
    if (iface === undefined) return;
    const claims = this.#claims.get(iface);
    claims?.delete(key);
    if (claims?.size === 0) this.#claims.delete(iface);
    this.#dirtyIfaces.add(iface);
  }

  #ownerOf(iface: string): string | undefined {
    const claims = this.#claims.get(iface);
    return claims === undefined || !iface.startsWith(INTERFACE_PREFIX) ? undefined : [...claims].toSorted()[0];
  }

  flush(): readonly WorkloadChange[] {
    for (const key of this.#policies.takeDirtyEndpoints()) {
      const iface = this.#endpoints.get(key)?.iface;
      if (iface !== undefined) this.#dirtyIfaces.add(iface);
    }
    const dirtyBuckets = new Set<string>();
    for (const iface of this.#dirtyIfaces) this.#render(iface, dirtyBuckets);
    if (dirtyBuckets.size > 0 || !this.#dispatched) this.#dispatch(dirtyBuckets);
    this.#dirtyIfaces.clear();
    return this.#out.flush().map(({ key, value }) => ({ key, ...(value === undefined ? {} : { workload: value }) }));
  }

  #render(iface: string, dirtyBuckets: Set<string>): void {
    const owner = this.#ownerOf(iface);
    const endpoint = owner === undefined ? undefined : this.#endpoints.get(owner);
    this.#place(iface, endpoint, dirtyBuckets);
    this.#out.set(iface, endpoint === undefined ? undefined : this.#workloadOf(endpoint, iface));
    const chains =
      endpoint === undefined
        ? undefined
        : this.#renderEndpoint({ iface, tiers: this.#policies.tiersOf(endpoint.key), profiles: endpoint.profiles });
    for (const side of SIDES) this.#chains.setFilter(endpointChainName[side](iface), chains === undefined ? undefined : () => chains[side]);
  }

  #workloadOf({ mac, addresses, spoofPrefixes, status }: Endpoint, iface: string): LocalWorkload {
    const here = addresses.filter((address) => !this.#elsewhere.has(address));
    return { iface, ...(mac === undefined ? {} : { mac }), addresses: here, spoofing: spoofPrefixes.length > 0, status: status() };
  }

  /** Put the interface into its bucket, or take it out. */
  #place(iface: string, endpoint: Endpoint | undefined, dirtyBuckets: Set<string>): void {
    const bucket = bucketOf(iface);
    const members = this.#buckets.get(bucket) ?? new Set();
    if (members.has(iface) !== (endpoint !== undefined)) dirtyBuckets.add(bucket);
    if (endpoint === undefined) members.delete(iface);
    else members.add(iface);
    if (members.size === 0) this.#buckets.delete(bucket);
    else this.#buckets.set(bucket, members);
    if (endpoint === undefined || endpoint.spoofPrefixes.length === 0) this.#spoofers.delete(iface);
    else this.#spoofers.set(iface, endpoint.spoofPrefixes);
  }

  #dispatch(dirtyBuckets: ReadonlySet<string>): void {
    this.#dispatched = true;
    for (const side of SIDES) {
      for (const bucket of dirtyBuckets) {
        const chain = renderSubChain(side, bucket, [...(this.#buckets.get(bucket) ?? [])]);
        this.#chains.setFilter(subChainName(side, bucket), chain === undefined ? undefined : () => chain);
      }
      const root = renderRoot(side, this.#buckets);
      this.#chains.setFilter(DISPATCH[side], () => root);
    }
  }

  /** The chain of workloads that may send from foreign addresses; it hangs in raw. */
  flushSpoofers(): void {
    const spoofers = [...this.#spoofers].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([iface, prefixes]) => ({ iface, prefixes }));
    for (const family of this.#chains.families) {
      const ofFamily = spoofers.map(({ iface, prefixes }) => ({
        iface,
        prefixes: prefixes.filter((p) => p.includes(":") === (family === 6)),
      }));
      this.#chains.set({ family, table: "raw", name: RPF_SKIP }, renderRpfSkip(ofFamily));
    }
  }
}
