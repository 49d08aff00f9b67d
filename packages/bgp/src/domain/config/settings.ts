/** What BGPConfiguration says to a node: its own `node.<name>` object over `default`. Source: facts §1.9.1, §6.1.3, §6.1.6. */
import type { BGPConfiguration } from "@calico/model";
import type { World } from "./world.ts";

export const DEFAULT_AS = 64512;
export const DEFAULT_PORT = 179;
export const DEFAULT_RESTART_SEC = 120;

type Spec = BGPConfiguration["spec"];

/** One setting, or undefined if neither object has it. */
export function settingOf<F extends keyof Spec>(world: World, node: string, field: F): Spec[F] | undefined {
  return world.configurations.get(`node.${node}`)?.spec[field] ?? world.configurations.get("default")?.spec[field];
}

export function meshEnabled(world: World): boolean {
  return world.configurations.get("default")?.spec.nodeToNodeMeshEnabled ?? true;
}

/** Node's own, else the cluster's default, else 64512. */
export function asNumberOf(world: World, node: string): number {
  return world.nodes.get(node)?.asNumber ?? Number(world.configurations.get("default")?.spec.asNumber ?? DEFAULT_AS);
}

/** Seconds of a Go duration such as `2m0s` or `1h30m`; undefined if it is none. */
export function durationSec(text: string | undefined): number | undefined {
  if (text === undefined || !/^(\d+(\.\d+)?(h|m|s|ms))+$/.test(text)) return undefined;
  const unit = { h: 3600, m: 60, s: 1, ms: 0.001 } as const;
  let sum = 0;
  for (const [, number, name] of text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)) sum += Number(number) * unit[name as keyof typeof unit];
  return Math.round(sum);
}
