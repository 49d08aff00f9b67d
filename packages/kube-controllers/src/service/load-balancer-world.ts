/** What the load balancer controller has heard: Services, pools, blocks, namespaces, its configuration. Each part is told when it changes. */
import { type Pool, parsePool } from "@calico/ipam";
import { parseResource } from "@calico/model";
import type { Labels } from "../domain/facts.ts";
import { type Holdings, makeHoldings } from "../domain/load-balancer-holdings.ts";
import type { AssignMode, LoadBalancerService } from "../domain/load-balancer-service.ts";

export interface LoadBalancerWorld {
  /** Those of type LoadBalancer: of the others only what is held for them matters, and they are looked at when there is some. */
  readonly services: Map<string, LoadBalancerService>;
  readonly namespaces: Map<string, Labels>;
  readonly holdings: Holdings;
  mode: AssignMode;
  /** Those whose use is LoadBalancer. */
  pools: readonly Pool[];
}

export function makeWorld(): LoadBalancerWorld {
  return { services: new Map(), namespaces: new Map(), holdings: makeHoldings(), mode: "AllServices", pools: [] };
}

/** A pool that does not parse is none. */
export function loadBalancerPools(values: Iterable<string>): readonly Pool[] {
  return [...values].flatMap((value): Pool[] => {
    const pool = parsePool(parseJson(value));
    return pool.ok && pool.value.uses.includes("LoadBalancer") ? [pool.value] : [];
  });
}

/**
 * What KubeControllersConfiguration `default` says. Without the object Calico's defaults hold; one that names controllers and not this
 * one turns it off, as in Calico. What does not parse says nothing new: undefined.
 *
 * Source: facts §1.10.2, §7.1.2.
 */
export function assignModeOf(value: string | undefined): AssignMode | undefined {
  if (value === undefined) return "AllServices";
  const parsed = parseResource("KubeControllersConfiguration", parseJson(value));
  if (!parsed.ok) return undefined;
  const { controllers } = parsed.value.spec;
  if (controllers === undefined) return "AllServices";
  return controllers.loadBalancer === undefined ? "off" : (controllers.loadBalancer.assignIPs ?? "AllServices");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
