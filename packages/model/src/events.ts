/** What agents say on the bus about themselves: bodies of `calico.applied.*`, `calico.status.*` and `calico.event.cni.*`. */
import { z } from "zod";
import type { DeepReadonly } from "./resources/base.ts";

/** A program of desired state reached the kernel. `revision` is the etcd revision that is now in force. */
export const appliedSchema = z.object({
  component: z.string(),
  node: z.string(),
  revision: z.number(),
  /** Milliseconds: from the store's commit to the bus and here, of calculation, and of writing to the kernel. */
  stages: z.object({ busMs: z.number(), calcMs: z.number(), kernelMs: z.number() }),
  /** What was written, by kernel name. */
  changed: z.array(z.string()),
  /** What someone else had altered and was put right. */
  repaired: z.array(z.string()),
  at: z.iso.datetime(),
});

/** How an agent is. `detail` is the component's own. */
export const statusSchema = z.object({
  component: z.string(),
  node: z.string(),
  healthy: z.boolean(),
  inSync: z.boolean(),
  revision: z.number(),
  version: z.string(),
  detail: z.record(z.string(), z.unknown()).default({}),
  at: z.iso.datetime().optional(),
});

/** One CNI call that ended. */
export const cniEventSchema = z.object({
  node: z.string(),
  command: z.enum(["ADD", "DEL", "CHECK"]),
  containerId: z.string(),
  namespace: z.string().optional(),
  pod: z.string().optional(),
  ifName: z.string(),
  hostIfName: z.string().optional(),
  ips: z.array(z.string()).default([]),
  ok: z.boolean(),
  error: z.object({ code: z.number(), msg: z.string(), details: z.string().optional() }).optional(),
  durationMs: z.number(),
  at: z.iso.datetime(),
});

/** Liveness of the syncer's leader, on `calico.heartbeat`. */
export const heartbeatSchema = z.object({ revision: z.number(), leader: z.string(), at: z.iso.datetime() });

export type Applied = DeepReadonly<z.output<typeof appliedSchema>>;
export type Status = DeepReadonly<z.output<typeof statusSchema>>;
export type CniEvent = DeepReadonly<z.output<typeof cniEventSchema>>;
export type Heartbeat = DeepReadonly<z.output<typeof heartbeatSchema>>;
