/**
 * The calculation graph: changes of the datastore in, changes of the kernel's desired state out. It draws nothing twice and nothing
 * too much: one changed object touches what depends on it.
 *
 * What cannot be parsed is treated as deleted, and reported: a bad policy does not apply, a bad profile lets nothing through, and
 * nothing else is disturbed.
 *
 * Source: Calico felix/calc (calc_graph.go, validation_filter.go), felix/design/calc-graph.md.
 */
import {
  activePolicy,
  activeProfile,
  formatCidr,
  formatIp,
  formatRef,
  parseCidrLoose,
  parseResource,
  SERVICE_NAME_LABEL,
} from "@calico/model";
import type { FieldError, Kind, KubernetesEndpointSlice, ObjectRef, Resource } from "@calico/model";
import { ActivePolicies } from "./calc/active-policies.ts";
import { ChainOutput } from "./calc/chain-output.ts";
import { ClusterNets } from "./calc/cluster-nets.ts";
import { endpointOf } from "./calc/endpoint.ts";
import { RuleSets } from "./calc/rule-sets.ts";
import { SetMembers } from "./calc/set-members.ts";
import { IPIP_DEVICE, Tunnels, VXLAN_DEVICE, nodeFacts } from "./calc/tunnels.ts";
import type { NodeFacts } from "./calc/tunnels.ts";
import { Workloads } from "./calc/workloads.ts";
import type { FeedEvent } from "./feed-event.ts";
import { MARKS } from "./marks.ts";
import type { Family } from "./names.ts";
import type { HooksChange, ProgramDelta } from "./program.ts";
import { renderStaticFilter } from "./render/static-filter.ts";
import { renderStaticMangle, renderStaticNat, renderStaticRaw } from "./render/static-others.ts";
import type { StaticOptions } from "./render/static.ts";

export type GraphOptions = {
  readonly node: string;
  /** Default: both. */
  readonly families?: readonly Family[];
  readonly vxlanPort?: number;
  readonly vxlanVni?: number;
  /** The MAC of a node's tunnel end where its Node object does not say. */
  readonly macOf: (node: string) => string;
  readonly endpointToHostAction?: StaticOptions["endpointToHostAction"];
};

/** An object that could not be used, and why. */
export type Problem = { readonly object: string; readonly revision: number; readonly errors: readonly FieldError[] };

export class Graph {
  readonly #o: GraphOptions;
  readonly #families: readonly Family[];
  readonly #members: SetMembers;
  readonly #chains: ChainOutput;
  readonly #sets: RuleSets;
  readonly #policies: ActivePolicies;
  readonly #workloads: Workloads;
  readonly #nets: ClusterNets;
  readonly #tunnels: Tunnels;
  readonly #nodes = new Map<string, NodeFacts>();
  readonly #endpointNodes = new Map<string, string>();
  readonly #serviceCidrs = new Map<string, readonly string[]>();
  readonly #problems = new Map<string, Problem>();
  #newProblems: Problem[] = [];
  #staticKey: string | undefined;

  constructor(options: GraphOptions) {
    this.#o = options;
    this.#families = options.families ?? [4, 6];
    this.#members = new SetMembers(this.#families);
    this.#chains = new ChainOutput(this.#families);
    this.#sets = new RuleSets(this.#members);
    this.#policies = new ActivePolicies({ chains: this.#chains, sets: this.#sets, marks: MARKS });
    const { node } = options;
    this.#workloads = new Workloads({ node, chains: this.#chains, policies: this.#policies, marks: MARKS, vxlanPort: this.#vxlanPort });
    this.#nets = new ClusterNets(this.#members);
    this.#tunnels = new Tunnels({ node: options.node, vni: options.vxlanVni ?? 4096, port: this.#vxlanPort, macOf: options.macOf });
  }

  get #vxlanPort(): number {
    return this.#o.vxlanPort ?? 4789;
  }

  /** Objects that are not in force because they are wrong. */
  get problems(): ReadonlyMap<string, Problem> {
    return this.#problems;
  }

  /** Problems found since the last call. */
  takeNewProblems(): readonly Problem[] {
    const taken = this.#newProblems;
    this.#newProblems = [];
    return taken;
  }

  stats(): Readonly<Record<string, number>> {
    return {
      localEndpoints: this.#workloads.count,
      endpoints: this.#endpointNodes.size,
      hosts: this.#nodes.size,
      policies: this.#policies.policyCount,
      activePolicies: this.#policies.activePolicyCount,
      profiles: this.#policies.profileCount,
      tiers: this.#policies.tierCount,
      activeSelectors: this.#sets.activeCount,
      selectorEvaluations: this.#sets.index.evaluations + this.#policies.index.evaluations,
      sets: this.#members.count * this.#families.length,
      chains: this.#chains.size,
    };
  }

  /** Take one change. Costs what the change costs; nothing is rendered before flush. */
  update(event: FeedEvent): void {
    if (event.kind === "inSync") return;
    const ref = event.ref.ref;
    const handler = this.#handlers[ref.kind];
    if (handler === undefined) return;
    if (event.kind === "deleted") {
      this.#problems.delete(objectName(ref));
      return handler(ref, undefined, event.revision);
    }
    const parsed = parseResource(ref.kind, event.value);
    if (!parsed.ok) {
      this.#report({ object: objectName(ref), revision: event.revision, errors: parsed.error });
      return handler(ref, undefined, event.revision);
    }
    this.#problems.delete(objectName(ref));
    try {
      handler(ref, named(parsed.value, ref), event.revision);
    } catch (error) {
      // One object that we cannot work with must not stop the node's policy: it counts as absent, and is named.
      this.#report(
        problem(ref, event.revision, { field: "", value: undefined, reason: error instanceof Error ? error.message : String(error) }),
      );
      handler(ref, undefined, event.revision);
    }
  }

  /** What changed in the desired state since the last flush. */
  flush(): ProgramDelta {
    const tunnels = this.#tunnels.flush();
    const hooks = this.#renderStatic();
    this.#policies.flush();
    const workloads = this.#workloads.flush();
    this.#workloads.flushSpoofers();
    return { chains: this.#chains.flush(), hooks, sets: this.#members.flush(), workloads, ...tunnels };
  }

  readonly #handlers: { readonly [K in Kind]?: (ref: ObjectRef, value: unknown, revision: number) => void } = {
    WorkloadEndpoint: (ref, value, revision) => this.#setEndpoint(ref, value as Resource<"WorkloadEndpoint"> | undefined, revision),
    NetworkPolicy: (ref, value, revision) => this.#setPolicy(ref, value as Resource<"NetworkPolicy"> | undefined, revision),
    GlobalNetworkPolicy: (ref, value, revision) => this.#setPolicy(ref, value as Resource<"GlobalNetworkPolicy"> | undefined, revision),
    Profile: (ref, value) => this.#setProfile(ref.name, value as Resource<"Profile"> | undefined),
    Tier: (ref, value) => this.#policies.setTier(ref.name, (value as Resource<"Tier"> | undefined)?.spec),
    NetworkSet: (ref, value) => this.#setNetworkSet(ref, value as Resource<"NetworkSet"> | undefined),
    GlobalNetworkSet: (ref, value) => this.#setNetworkSet(ref, value as Resource<"GlobalNetworkSet"> | undefined),
    IPPool: (ref, value) => this.#setPool(ref.name, value as Resource<"IPPool"> | undefined),
    Node: (ref, value) => this.#setNode(ref.name, value as Resource<"Node"> | undefined),
    IPAMBlock: (ref, value) => this.#setBlock(ref.name, value as Resource<"IPAMBlock"> | undefined),
    BGPConfiguration: (ref, value) => this.#setBgpConfiguration(ref.name, value as Resource<"BGPConfiguration"> | undefined),
    KubernetesEndpointSlice: (ref, value) => this.#setSlice(ref, value as KubernetesEndpointSlice | undefined),
  };

  #setEndpoint(ref: ObjectRef, value: Resource<"WorkloadEndpoint"> | undefined, revision: number): void {
    const key = `${ref.namespace}/${ref.name}`;
    if (value === undefined) {
      this.#workloads.delete(key);
      this.#sets.deleteSource(`wep ${key}`);
      this.#endpointNodes.delete(key);
      return;
    }
    const endpoint = endpointOf(value, revision);
    this.#endpointNodes.set(key, endpoint.node);
    this.#sets.setSource(`wep ${key}`, { nets: endpoint.addresses, ports: endpoint.ports }, endpoint.labels, endpoint.profiles);
    if (endpoint.node !== this.#o.node) return this.#workloads.delete(key);
    this.#workloads.set(endpoint);
    const fault = this.#workloads.faultOf(endpoint);
    if (fault !== undefined) this.#report(problem(ref, revision, { field: "spec.interfaceName", value: endpoint.iface, reason: fault }));
  }

  #setBlock(name: string, value: Resource<"IPAMBlock"> | undefined): void {
    this.#tunnels.setBlock(name, value);
    this.#workloads.setBlock(name, value);
  }

  #setPolicy(ref: ObjectRef, value: Resource<"NetworkPolicy"> | Resource<"GlobalNetworkPolicy"> | undefined, revision: number): void {
    const key = ref.namespace === undefined ? `gnp/${ref.name}` : `np/${ref.namespace}/${ref.name}`;
    if (value === undefined) return this.#policies.setPolicy(key, undefined);
    const ingress = value.spec.ingress?.filter((rule) => rule.http === undefined);
    // Without its HTTP part such a rule would allow more than it says: it is left out, so less is allowed.
    if (ingress?.length !== value.spec.ingress?.length) {
      this.#report(
        problem(ref, revision, {
          field: "spec.ingress",
          value: "http",
          reason: "HTTP matches are not enforced here: these rules are left out",
        }),
      );
    }
    this.#policies.setPolicy(key, activePolicy({ ...value, spec: { ...value.spec, ingress } } as typeof value));
  }

  #setProfile(name: string, value: Resource<"Profile"> | undefined): void {
    const profile = value === undefined ? undefined : activeProfile(value);
    this.#policies.setProfile(name, profile);
    this.#sets.index.setParentLabels(name, profile?.labelsToApply ?? {});
  }

  /** A namespaced set is found by its namespace's labels too. */
  #setNetworkSet(ref: ObjectRef, value: Resource<"NetworkSet"> | Resource<"GlobalNetworkSet"> | undefined): void {
    const id = `netset ${ref.namespace ?? ""}/${ref.name}`;
    if (value === undefined) return this.#sets.deleteSource(id);
    const nets = (value.spec.nets ?? []).flatMap((net) => {
      const cidr = parseCidrLoose(net);
      return cidr.ok ? [formatCidr(cidr.value)] : [];
    });
    const own: Readonly<Record<string, string>> = ref.namespace === undefined ? {} : { "projectcalico.org/namespace": ref.namespace };
    const parents = ref.namespace === undefined ? [] : [`kns.${ref.namespace}`];
    this.#sets.setSource(id, { nets: [...new Set(nets)], ports: [] }, { ...value.metadata.labels, ...own }, parents);
  }

  #setPool(name: string, value: Resource<"IPPool"> | undefined): void {
    this.#tunnels.setPool(name, value?.spec);
    this.#nets.setPool(name, value === undefined ? undefined : { cidr: value.spec.cidr, natOutgoing: value.spec.natOutgoing });
    for (const host of this.#nodes.keys()) this.#updateHost(host);
  }

  #setNode(name: string, value: Resource<"Node"> | undefined): void {
    const facts = value === undefined ? undefined : nodeFacts(value, this.#o.macOf);
    if (facts === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, facts);
    this.#tunnels.setNode(name, facts);
    this.#updateHost(name);
  }

  #updateHost(name: string): void {
    const facts = this.#nodes.get(name);
    this.#nets.setHost(name, facts === undefined ? undefined : { ip: formatIp(facts.ip), remoteVtep: this.#tunnels.isRemoteVtep(name) });
  }

  #setBgpConfiguration(name: string, value: Resource<"BGPConfiguration"> | undefined): void {
    const { serviceClusterIPs = [], serviceExternalIPs = [], serviceLoadBalancerIPs = [] } = value?.spec ?? {};
    if (name === "default")
      this.#serviceCidrs.set(
        name,
        [...serviceClusterIPs, ...serviceExternalIPs, ...serviceLoadBalancerIPs].map((b) => b.cidr),
      );
  }

  #setSlice(ref: ObjectRef, slice: KubernetesEndpointSlice | undefined): void {
    const service = slice?.metadata.labels?.[SERVICE_NAME_LABEL];
    const key = `${ref.namespace}/${ref.name}`;
    if (slice === undefined || service === undefined || slice.addressType === "FQDN") return this.#sets.setSlice(key, undefined);
    this.#sets.setSlice(key, {
      service: `${ref.namespace}/${service}`,
      addresses: slice.endpoints.flatMap((e) => e.addresses),
      ports: slice.ports.flatMap(({ protocol, port }) => (port === undefined ? [] : [{ protocol: protocol.toLowerCase(), port }])),
    });
  }

  /** The fixed chains; drawn again only when what they depend on changed. */
  #renderStatic(): readonly HooksChange[] {
    const { vxlanWanted, ipipWanted } = this.#tunnels;
    const serviceCidrs = [...new Set([...this.#serviceCidrs.values()].flat())].toSorted();
    const key = JSON.stringify([vxlanWanted, ipipWanted, serviceCidrs]);
    if (key === this.#staticKey) return [];
    this.#staticKey = key;
    return this.#families.flatMap((family) => {
      const options: StaticOptions = {
        family,
        marks: MARKS,
        vxlan: vxlanWanted,
        ipip: ipipWanted,
        vxlanPort: this.#vxlanPort,
        vxlanDevice: VXLAN_DEVICE,
        ipipDevice: IPIP_DEVICE,
        endpointToHostAction: this.#o.endpointToHostAction ?? "DROP",
        serviceCidrs,
      };
      return [renderStaticRaw, renderStaticMangle, renderStaticNat, renderStaticFilter].map((render): HooksChange => {
        const { table, chains, hooks } = render(options);
        for (const chain of chains) this.#chains.set({ family, table, name: chain.name }, chain);
        return { family, table, hooks };
      });
    });
  }

  #report(p: Problem): void {
    this.#problems.set(p.object, p);
    this.#newProblems.push(p);
  }
}

/** The key says which object it is, whatever the value says of itself. */
function named(value: unknown, { namespace, name }: ObjectRef): unknown {
  const { metadata } = value as { readonly metadata?: object };
  return metadata === undefined ? value : { ...(value as object), metadata: { ...metadata, name, namespace } };
}

function objectName(ref: ObjectRef): string {
  return formatRef(ref);
}

function problem(ref: ObjectRef, revision: number, error: FieldError): Problem {
  return { object: objectName(ref), revision, errors: [error] };
}
