/**
 * The load balancer controller: Services of type LoadBalancer get their addresses from the pools that are for that, and give them back.
 * A change concerns the Services that it touches, and those that wait for just what became free. Nothing is done before all was listed.
 *
 * Source: facts §7.8, §4.7.4.
 */
import { isWorthSaying, type KubeClient, makeKeyQueue } from "@calico/kube-client";
import { makeWaiting } from "../domain/load-balancer-waiting.ts";
import type { Controller, ControllerPorts } from "../ports.ts";
import { makeIllList } from "./ill-list.ts";
import { everyPeriod } from "./keep-going.ts";
import { sayEvent } from "./load-balancer-events.ts";
import { type FollowPorts, followWorld, PARTS } from "./load-balancer-follow.ts";
import { LOAD_BALANCER, type Settled, type SettlePorts, settleService } from "./load-balancer-settle.ts";
import { makeWorld } from "./load-balancer-world.ts";

export interface LoadBalancerPorts extends Omit<SettlePorts, "kube" | "metrics">, Omit<FollowPorts, "kube"> {
  readonly kube: Pick<KubeClient, "list" | "watch" | "patch" | "create">;
}

/** More problems than this in a health answer help nobody; the log has them all. */
const SHOWN = 20;

export function makeLoadBalancer(ports: LoadBalancerPorts): Controller {
  const world = makeWorld();
  const waiting = makeWaiting();
  const problems = new Map<string, string>();
  const ill = makeIllList(LOAD_BALANCER, ports.metrics);
  const unheard = new Set<string>(PARTS);
  const queue = makeKeyQueue({
    signal: ports.signal,
    handle: async (key) => note(key, await settleService(ports, world, key)),
    onFailure(key, error, retry) {
      ports.metrics.inc("kube_controllers_failures_total", { controller: LOAD_BALANCER });
      if (isWorthSaying(retry.attempt))
        ports.log.warn("service not settled, retrying", { controller: LOAD_BALANCER, key, ...retry, error });
    },
  });
  const add = (keys: Iterable<string>): void => {
    if (unheard.size === 0) for (const key of keys) queue.add(key);
  };
  const addAll = (): void => add(new Set([...world.services.keys(), ...world.holdings.services()]));

  /** What became of it, said once each, where its owner and the operator look. */
  function note(key: string, { problem, waits, assigned = [] }: Settled): void {
    waiting.set(key, waits);
    ill.set("refused", key, problem?.text);
    const service = world.services.get(key);
    const isNew = problem !== undefined && problems.get(key) !== problem.text;
    if (problem === undefined) problems.delete(key);
    else problems.set(key, problem.text);
    if (isNew) ports.log.warn("service without the address it asks for", { service: key, reason: problem.reason, problem: problem.text });
    if (service === undefined) return;
    if (isNew) void sayEvent(ports, service, { type: "Warning", reason: problem.reason, message: problem.text });
    const message = `Assigned ${assigned.join(", ")}`;
    if (assigned.length > 0) void sayEvent(ports, service, { type: "Normal", reason: "AddressAssigned", message });
  }

  const listener: Parameters<typeof followWorld>[2] = {
    onServices: add,
    onHoldings(touched, freed) {
      ports.metrics.set("load_balancer_addresses", world.holdings.size);
      add([...touched, ...waiting.wokenBy(freed)]);
    },
    onNamespace: (name) => add([...problems.keys()].filter((key) => key.startsWith(`${name}/`))),
    onEverything: addAll,
    onListed(part) {
      if (!unheard.delete(part) || unheard.size > 0) return;
      addAll();
      const found = { services: world.services.size, addresses: world.holdings.size, mode: world.mode };
      ports.log.info("in sync", { controller: LOAD_BALANCER, ...found });
      ports.metrics.set("kube_controllers_in_sync", 1, { controller: LOAD_BALANCER });
    },
  };

  return {
    name: LOAD_BALANCER,
    status: () => ({
      inSync: unheard.size === 0,
      pending: queue.pending,
      failing: queue.failing + ill.size,
      problems: ill.first(SHOWN),
    }),
    run: async () =>
      void (await Promise.all([
        followWorld(ports, world, listener),
        queue.run(),
        everyPeriod(ports as unknown as ControllerPorts, addAll),
      ])),
  };
}
