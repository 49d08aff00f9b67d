/**
 * IP sets that active rules ask for: made when the first rule needs one, filled from endpoints, network sets and services,
 * dropped with the last rule.
 *
 * Source: Calico felix/calc/rule_scanner.go, felix/labelindex/named_port_index.go, felix/serviceindex.
 */
import { LabelIndex } from "./label-index.ts";
import type { Labels } from "./label-index.ts";
import type { SetDefinition } from "./convert-rule.ts";
import type { EndpointPort } from "./endpoint.ts";
import type { SetMembers } from "./set-members.ts";

/** What an endpoint or network set gives to the sets that match it. */
export type Source = { readonly nets: readonly string[]; readonly ports: readonly EndpointPort[] };
/** What a slice of a service gives: addresses, and ports with protocol. */
export type ServiceSource = {
  readonly service: string;
  readonly addresses: readonly string[];
  readonly ports: readonly { readonly protocol: string; readonly port: number }[];
};

type Wanted = { readonly definition: SetDefinition; readonly owners: Set<string> };

export class RuleSets {
  readonly #members: SetMembers;
  readonly #wanted = new Map<string, Wanted>();
  readonly #sources = new Map<string, Source>();
  readonly #slices = new Map<string, ServiceSource>();
  readonly #slicesOf = new Map<string, Set<string>>();
  readonly #serviceSets = new Map<string, Set<string>>();
  readonly index: LabelIndex;

  constructor(members: SetMembers) {
    this.#members = members;
    this.index = new LabelIndex({
      matchStarted: (set, item) => this.#contribute(set, this.#sources.get(item)!, "add"),
      matchStopped: (set, item) => this.#contribute(set, this.#sources.get(item)!, "remove"),
    });
  }

  get activeCount(): number {
    return this.#wanted.size;
  }

  setSource(item: string, source: Source, labels: Labels, parents: readonly string[]): void {
    const before = this.#sources.get(item);
    this.#sources.set(item, source);
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(source)) {
      for (const set of this.index.matchesOf(item)) {
        this.#contribute(set, source, "add");
        this.#contribute(set, before, "remove");
      }
    }
    this.index.setItem(item, labels, parents);
  }

  deleteSource(item: string): void {
    this.index.deleteItem(item);
    this.#sources.delete(item);
  }

  setSlice(key: string, slice: ServiceSource | undefined): void {
    const before = this.#slices.get(key);
    if (slice === undefined) this.#slices.delete(key);
    else this.#slices.set(key, slice);
    if (slice !== undefined) {
      setOf(this.#slicesOf, slice.service).add(key);
      for (const set of this.#serviceSets.get(slice.service) ?? []) this.#contributeSlice(set, slice, "add");
    }
    if (before === undefined) return;
    if (before.service !== slice?.service) this.#slicesOf.get(before.service)?.delete(key);
    for (const set of this.#serviceSets.get(before.service) ?? []) this.#contributeSlice(set, before, "remove");
  }

  /** `owner` uses these sets now; and `release` says which it used before. */
  retain(owner: string, definitions: Iterable<SetDefinition>): void {
    for (const definition of definitions) {
      const wanted = this.#wanted.get(definition.id);
      if (wanted === undefined) this.#activate(definition, owner);
      else wanted.owners.add(owner);
    }
  }

  release(owner: string, ids: Iterable<string>): void {
    for (const id of ids) {
      const wanted = this.#wanted.get(id);
      if (wanted === undefined) continue;
      wanted.owners.delete(owner);
      if (wanted.owners.size === 0) this.#deactivate(wanted.definition);
    }
  }

  #activate(definition: SetDefinition, owner: string): void {
    this.#wanted.set(definition.id, { definition, owners: new Set([owner]) });
    this.#members.create(definition.id, definition.type);
    if (definition.of === "selector") return this.index.setSelector(definition.id, definition.selector);
    const service = `${definition.namespace}/${definition.name}`;
    setOf(this.#serviceSets, service).add(definition.id);
    for (const key of this.#slicesOf.get(service) ?? []) this.#contributeSlice(definition.id, this.#slices.get(key)!, "add");
  }

  #deactivate(definition: SetDefinition): void {
    this.#members.drop(definition.id);
    if (definition.of === "selector") this.index.deleteSelector(definition.id);
    else this.#serviceSets.get(`${definition.namespace}/${definition.name}`)?.delete(definition.id);
    this.#wanted.delete(definition.id);
  }

  #contribute(set: string, { nets, ports }: Source, how: "add" | "remove"): void {
    const definition = this.#wanted.get(set)?.definition;
    if (definition?.of !== "selector") return;
    if (definition.port === undefined) {
      for (const net of nets) this.#members[how](set, net);
      return;
    }
    for (const { name, protocol, port } of ports) {
      if (name !== definition.port.name || protocol !== definition.port.protocol) continue;
      for (const net of nets) this.#members[how](set, `${bare(net)},${protocol}:${port}`);
    }
  }

  #contributeSlice(set: string, slice: ServiceSource, how: "add" | "remove"): void {
    const definition = this.#wanted.get(set)?.definition;
    if (definition?.of !== "service") return;
    for (const address of slice.addresses) {
      if (!definition.withPorts) this.#members[how](set, address);
      else for (const { protocol, port } of slice.ports) this.#members[how](set, `${address},${protocol}:${port}`);
    }
  }
}

const bare = (net: string): string => net.split("/")[0]!;

function setOf(map: Map<string, Set<string>>, key: string): Set<string> {
  let set = map.get(key);
  if (set === undefined) map.set(key, (set = new Set()));
  return set;
}
