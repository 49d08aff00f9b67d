import { formatIp, nthIp } from "@calico/model";
import { ApiError } from "../domain/api-error.ts";
import type { ApiObject } from "../domain/api-object.ts";
import { kindNamed, storageKey } from "../domain/kinds.ts";
import type { ServerPorts } from "../ports.ts";
import type { Registry } from "./registry.ts";

/** Where clients in the cluster reach this server. */
export interface Advertised {
  readonly ip: string;
  readonly port: number;
}

/** What every cluster has from the start: its namespaces, and the Service `kubernetes` with this server as its endpoint. */
export async function bootstrap(ports: ServerPorts, registry: Registry, advertised: Advertised): Promise<void> {
  for (const name of ["default", "kube-system"]) await ensure(registry, { kind: "Namespace", metadata: { name } });
  const clusterIP = formatIp(nthIp(ports.serviceCidr, 1));
  const metadata = { name: "kubernetes", namespace: "default" };
  const ports443 = [{ name: "https", port: 443, protocol: "TCP", targetPort: advertised.port }];
  await ensure(registry, {
    kind: "Service",
    metadata: { ...metadata, labels: { component: "apiserver", provider: "kubernetes" } },
    spec: { clusterIP, ports: ports443 },
  });
  const labels = { "kubernetes.io/service-name": "kubernetes" };
  const port = { name: "https", port: advertised.port, protocol: "TCP" };
  await ensure(registry, {
    kind: "EndpointSlice",
    metadata: { ...metadata, labels },
    addressType: "IPv4",
    endpoints: [{ addresses: [advertised.ip], conditions: { ready: true } }],
    ports: [port],
  });
  await ensure(registry, { kind: "Endpoints", metadata, subsets: [{ addresses: [{ ip: advertised.ip }], ports: [port] }] });
}

type Wanted = Pick<ApiObject, "kind"> & {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
} & Record<string, unknown>;

/** Create it, or bring what an earlier start wrote up to date: the address may have changed. */
async function ensure(registry: Registry, wanted: Wanted): Promise<void> {
  const kind = kindNamed(wanted.kind);
  const { name, namespace } = wanted.metadata;
  try {
    await registry.create(kind, namespace, wanted);
  } catch (e) {
    if (!(e instanceof ApiError && (e.status.reason === "AlreadyExists" || e.status.reason === "Invalid"))) throw e;
    if (wanted.kind === "Namespace") return;
    await registry.update({ kind, namespace, name }, undefined, (current) => ({
      ...current,
      ...wanted,
      metadata: { ...current.metadata, ...wanted.metadata },
    }));
  }
}

/** Put the Service `kubernetes` back whenever somebody deletes it. Ends with the signal; throws when etcd cannot be read. */
export async function keepBootstrapped(
  ports: ServerPorts,
  registry: Registry,
  o: { readonly advertised: Advertised; readonly signal: AbortSignal },
): Promise<void> {
  const key = storageKey(kindNamed("Service"), { namespace: "default", name: "kubernetes" });
  while (!o.signal.aborted) {
    const { revision } = await ports.store.list(key);
    await bootstrap(ports, registry, o.advertised);
    for await (const change of ports.store.watch(key, { fromRevision: revision + 1, signal: o.signal })) {
      if (change.kind === "compacted" || (change.kind === "delete" && change.key === key)) break;
    }
  }
}
