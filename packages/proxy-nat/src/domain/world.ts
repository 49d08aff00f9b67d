import type { FeedEvent } from "@calico/bus";
import { parseService, type Service } from "./service.ts";
import { parseSlice, type Slice } from "./slice.ts";

/** An object that cannot be used. Its service goes on without it; others are unharmed. */
export interface Problem {
  readonly key: string;
  readonly reason: string;
}

/** The services and slices that there are now, and which services changed. */
export interface World {
  update(event: FeedEvent): Problem | undefined;
  service(id: string): { readonly service: Service; readonly slices: readonly Slice[] } | undefined;
  /** "namespace/name" of services that changed since the last call, sorted. */
  takeDirty(): readonly string[];
  sliceCount(): number;
}

export function makeWorld(): World {
  const services = new Map<string, Service>();
  const slicesOf = new Map<string, Map<string, Slice>>();
  const ownerOf = new Map<string, string>();
  const dirty = new Set<string>();

  function setService(id: string, service: Service | undefined): void {
    if (service === undefined) services.delete(id);
    else services.set(id, service);
    dirty.add(id);
  }

  function setSlice(key: string, owner: string | undefined, slice: Slice | undefined): void {
    const before = ownerOf.get(key);
    if (before !== undefined) {
      slicesOf.get(before)?.delete(key);
      if (slicesOf.get(before)?.size === 0) slicesOf.delete(before);
      ownerOf.delete(key);
      dirty.add(before);
    }
    if (slice === undefined || owner === undefined) return;
    const siblings = slicesOf.get(owner) ?? new Map<string, Slice>();
    slicesOf.set(owner, siblings.set(key, slice));
    ownerOf.set(key, owner);
    dirty.add(owner);
  }

  return {
    update(event) {
      if (event.kind === "inSync") return undefined;
      const { kind, namespace = "", name } = event.ref.ref;
      const value = event.kind === "updated" ? event.value : undefined;
      if (kind === "KubernetesService") {
        const parsed = value === undefined ? undefined : parseService(value);
        setService(`${namespace}/${name}`, parsed?.ok && typeof parsed.value === "object" ? parsed.value : undefined);
        return parsed === undefined || parsed.ok ? undefined : { key: event.key, reason: parsed.error };
      }
      if (kind !== "KubernetesEndpointSlice") return undefined;
      const parsed = value === undefined ? undefined : parseSlice(value);
      const slice = parsed?.ok ? parsed.value : undefined;
      setSlice(event.key, slice && `${namespace}/${slice.service}`, slice);
      return parsed === undefined || parsed.ok ? undefined : { key: event.key, reason: parsed.error };
    },
    service(id) {
      const service = services.get(id);
      return service && { service, slices: [...(slicesOf.get(id)?.values() ?? [])] };
    },
    takeDirty() {
      const taken = [...dirty].toSorted();
      dirty.clear();
      return taken;
    },
    sliceCount: () => ownerOf.size,
  };
}
