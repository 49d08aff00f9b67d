/**
 * The record of a handle: how many addresses it has in which block. An empty record is not stored.
 *
 * Source: calico libcalico-go/lib/backend/model/ipam_handle.go.
 */
import { err, ok } from "@calico/model";
import type { Result } from "@calico/model";
import { z } from "zod";

/** Block CIDR → number of addresses. */
export type Handle = ReadonlyMap<string, number>;

const handleSchema = z.object({ block: z.record(z.string(), z.number().int().positive()).nullish() });

export function parseHandle(text: string): Result<Handle, string> {
  try {
    const parsed = handleSchema.safeParse(JSON.parse(text));
    if (!parsed.success) return err(`Cannot parse handle: ${parsed.error.issues[0]?.message ?? "invalid"}`);
    return ok(new Map(Object.entries(parsed.data.block ?? {})));
  } catch (e) {
    return err(`Cannot parse handle: ${e instanceof Error ? e.message : String(e)}`);
  }
}

export function renderHandle(handle: Handle): string {
  const block = Object.fromEntries([...handle].sort(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify({ block, deleted: false });
}

/** The handle with `delta` more addresses in the block; a block with none left is dropped, and none are never owed. */
export function adjusted(handle: Handle, block: string, delta: number): Handle {
  const next = new Map(handle);
  const count = (next.get(block) ?? 0) + delta;
  if (count > 0) next.set(block, count);
  else next.delete(block);
  return next;
}

/** Addresses of one family that the handle holds in all blocks. */
export function heldBy(handle: Handle, family: 4 | 6): number {
  let sum = 0;
  for (const [cidr, count] of handle) if (cidr.includes(":") === (family === 6)) sum += count;
  return sum;
}
