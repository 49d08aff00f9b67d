import { isAlreadyExists, isNotFound, type KubeObject, makeKeyQueue, RESOURCES, type ResourceType } from "@calico/kube-client";
import { deriveEndpoints, deriveSlices, isSelecting, MANAGED_BY, SERVICE_LABEL } from "../domain/endpoints.ts";
import { mapAt, selects } from "../domain/kube-read.ts";
import { sameObject } from "../domain/same-object.ts";
import { aborted } from "./scheduler-loop.ts";
import type { Informer, LoopPorts } from "./informer.ts";

interface Sources {
  readonly services: Informer;
  readonly pods: Informer;
  readonly slices: Informer;
  readonly endpoints: Informer;
}

/** Keep the EndpointSlices and the Endpoints of each Service with a selector equal to its pods. */
export function makeEndpointsLoop(ports: LoopPorts, sources: Sources): { run(): Promise<void> } {
  const { services, pods, slices, endpoints } = sources;
  const all = [services, pods, slices, endpoints];
  const ready = () => all.every((i) => i.inSync);
  const queue = makeKeyQueue({
    signal: ports.signal,
    handle: reconcile,
    onFailure: (service, error, retry) => ports.log.warn("endpoints not written, retrying", { service, ...retry, error }),
  });
  const add = (key: string) => {
    if (ready()) queue.add(key);
  };
  services.listen(add);
  pods.listen((_key, now, before) => {
    for (const [key, service] of services.objects) if (touches(service, now) || touches(service, before)) add(key);
  });
  slices.listen((_key, now, before) => {
    const service = ownedService(now ?? before);
    if (service !== undefined) add(service);
  });
  endpoints.listen((key) => {
    if (services.objects.has(key)) add(key);
  });

  async function reconcile(key: string): Promise<void> {
    const service = services.objects.get(key);
    const active = service !== undefined && isSelecting(service) && service.metadata.deletionTimestamp === undefined;
    const wanted = active ? deriveSlices(service, pods.objects.values()) : [];
    const there = [...slices.objects.values()].filter((s) => ownedService(s) === key);
    for (const slice of wanted) await ensure(RESOURCES.endpointSlices, slice, slices);
    for (const slice of there)
      if (!wanted.some((w) => w.metadata.name === slice.metadata.name)) await remove(RESOURCES.endpointSlices, slice);
    const old = endpoints.objects.get(key);
    if (active) await ensure(RESOURCES.endpoints, deriveEndpoints(service, pods.objects.values()), endpoints);
    else if (service === undefined && old !== undefined) await remove(RESOURCES.endpoints, old);
  }

  async function ensure(type: ResourceType, wanted: KubeObject, informer: Informer): Promise<void> {
    const old = informer.objects.get(`${wanted.metadata.namespace}/${wanted.metadata.name}`);
    if (old !== undefined && sameObject(old, wanted)) return;
    if (old === undefined) {
      await ports.kube.create(type, wanted).catch((error: unknown) => {
        if (!isAlreadyExists(error)) throw error; // made by an earlier turn: the watch brings it, and its own turn
      });
      return;
    }
    const { resourceVersion, uid } = old.metadata;
    await ports.kube.update(type, { ...wanted, metadata: { ...wanted.metadata, resourceVersion, uid } }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error; // gone meanwhile: the same
    });
  }

  async function remove(type: ResourceType, { metadata: { name, namespace } }: KubeObject): Promise<void> {
    await ports.kube.delete(type, { name, namespace }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }

  return {
    async run() {
      await Promise.race([Promise.all(all.map((i) => i.ready)), aborted(ports.signal)]);
      const owners = [...slices.objects.values()].flatMap((s) => ownedService(s) ?? []);
      for (const key of new Set([...services.objects.keys(), ...owners])) queue.add(key);
      await queue.run();
    },
  };
}

function touches(service: KubeObject, pod: KubeObject | undefined): boolean {
  if (pod === undefined || pod.metadata.namespace !== service.metadata.namespace || !isSelecting(service)) return false;
  return selects(mapAt(service, "spec", "selector"), pod.metadata.labels);
}

/** The Service of a slice that is ours. */
function ownedService(slice: KubeObject | undefined): string | undefined {
  const { namespace, labels } = slice?.metadata ?? {};
  return labels?.[MANAGED_BY.label] === MANAGED_BY.value ? `${namespace}/${labels[SERVICE_LABEL] ?? ""}` : undefined;
}
