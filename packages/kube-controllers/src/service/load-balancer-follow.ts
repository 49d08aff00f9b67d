/** Keeps what the load balancer controller knows as the API server and the datastore have it, and says which Services a change concerns. */
import { type KubeClient, type KubeObject, RESOURCES } from "@calico/kube-client";
import type { Store } from "@calico/datastore";
import { keyOf, prefixOf } from "@calico/model";
import { namedFacts } from "../domain/facts.ts";
import { loadBalancerService } from "../domain/load-balancer-service.ts";
import { sameValue } from "../domain/same-content.ts";
import type { ControllerPorts } from "../ports.ts";
import { follow } from "./follow.ts";
import { followStore } from "./follow-store.ts";
import { LOAD_BALANCER } from "./load-balancer-settle.ts";
import { assignModeOf, loadBalancerPools, type LoadBalancerWorld } from "./load-balancer-world.ts";

export interface FollowPorts extends Omit<ControllerPorts, "kube" | "datastore" | "store"> {
  readonly kube: Pick<KubeClient, "list" | "watch">;
  readonly store: Pick<Store, "list" | "watch">;
}

export interface Listener {
  readonly onServices: (keys: Iterable<string>) => void;
  /** What is held for Services changed: whose, and what is free now. */
  readonly onHoldings: (touched: Iterable<string>, freed: readonly string[]) => void;
  /** The labels of a namespace changed. */
  readonly onNamespace: (name: string) => void;
  readonly onEverything: () => void;
  /** One of `PARTS` was told whole. */
  readonly onListed: (part: Part) => void;
}

export const PARTS = ["services", "namespaces", "pools", "blocks", "configuration"] as const;
export type Part = (typeof PARTS)[number];

/** Until the signal fires. */
export async function followWorld(given: FollowPorts, world: LoadBalancerWorld, on: Listener): Promise<void> {
  // The followers take what every controller is given; the datastore they do not use.
  const ports = given as ControllerPorts;
  const records = (part: Part, kind: Parameters<typeof prefixOf>[0], set: (key: string, value: string | undefined) => void) =>
    followStore(ports, LOAD_BALANCER, {
      prefix: prefixOf(kind),
      onRecord: (key, record) => set(key, record?.value),
      onListed: () => on.onListed(part),
    });
  await Promise.all([
    followServices(ports, world, on),
    followNamespaces(ports, world, on),
    records("pools", "IPPool", poolSetter(world, on)),
    records("configuration", "KubeControllersConfiguration", configurationSetter(ports, world, on)),
    records("blocks", "IPAMBlock", (key, value) => {
      const { touched, freed } = world.holdings.setBlock(key, value);
      if (touched.size > 0) on.onHoldings(touched, freed);
    }),
  ]);
}

async function followServices(ports: ControllerPorts, world: LoadBalancerWorld, on: Listener): Promise<void> {
  for await (const event of follow(ports, LOAD_BALANCER, { resource: RESOURCES.services, project: loadBalancerService })) {
    if (event.kind === "inSync") {
      on.onListed("services");
      continue;
    }
    const isKept = event.kind !== "deleted" && event.object.type === "LoadBalancer";
    const wasKept = world.services.has(event.key);
    if (isKept) world.services.set(event.key, event.object);
    else world.services.delete(event.key);
    if (isKept || wasKept || world.holdings.of(event.key).length > 0) on.onServices([event.key]);
  }
}

async function followNamespaces(ports: ControllerPorts, world: LoadBalancerWorld, on: Listener): Promise<void> {
  const project = (object: KubeObject) => namedFacts(object).labels;
  for await (const event of follow(ports, LOAD_BALANCER, { resource: RESOURCES.namespaces, project })) {
    if (event.kind === "inSync") {
      on.onListed("namespaces");
      continue;
    }
    const before = world.namespaces.get(event.key);
    if (event.kind === "deleted") world.namespaces.delete(event.key);
    else world.namespaces.set(event.key, event.object);
    if (event.kind !== "deleted" && !sameValue(before, event.object)) on.onNamespace(event.key);
  }
}

function poolSetter(world: LoadBalancerWorld, on: Listener): (key: string, value: string | undefined) => void {
  const values = new Map<string, string>();
  return (key, value) => {
    const before = values.get(key);
    if (before === value) return;
    if (value === undefined) values.delete(key);
    else values.set(key, value);
    if (loadBalancerPools([before ?? "", value ?? ""]).length === 0) return;
    world.pools = loadBalancerPools(values.values());
    on.onEverything();
  };
}

function configurationSetter(
  ports: ControllerPorts,
  world: LoadBalancerWorld,
  on: Listener,
): (key: string, value: string | undefined) => void {
  return (key, value) => {
    if (key !== keyOf({ kind: "KubeControllersConfiguration", name: "default" })) return;
    const mode = assignModeOf(value);
    if (mode === undefined) ports.log.error("configuration not understood, kept as it was", { key, mode: world.mode });
    if (mode === undefined || mode === world.mode) return;
    world.mode = mode;
    ports.log.info("configuration changed", { controller: LOAD_BALANCER, mode });
    on.onEverything();
  };
}
