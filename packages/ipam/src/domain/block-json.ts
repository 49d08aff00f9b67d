/**
 * The stored form of a block: exactly Calico's JSON, field by field. Sequence numbers are nanosecond times and do not fit
 * a JavaScript number, so they are read from the source text and written as digits.
 *
 * Source: calico libcalico-go/lib/backend/model/block.go (AllocationBlock, AllocationAttribute).
 */
import { cidrSize, err, formatCidr, ok, parseCidr } from "@calico/model";
import type { Result } from "@calico/model";
import { z } from "zod";
import type { Block, BlockAttribute } from "./block.ts";

const textMap = z.record(z.string(), z.string());
const attributeSchema = z.object({
  handle_id: z.string().nullish(),
  secondary: textMap.nullish(),
  alternateOwnerAttrs: textMap.nullish(),
  releasedAt: z.string().nullish(),
});
const digits = z.string().regex(/^\d+$/).transform(BigInt);
const blockSchema = z.object({
  cidr: z.string(),
  affinity: z.string().nullish(),
  affinity_claim_time: z.string().nullish(),
  hostAffinity: z.string().nullish(),
  allocations: z.array(z.number().int().nonnegative().nullable()),
  unallocated: z.array(z.number().int().nonnegative()),
  attributes: z.array(attributeSchema).nullish(),
  sequenceNumber: digits.nullish(),
  sequenceNumberForAllocation: z.record(z.string(), digits).nullish(),
});

/** A block from its stored JSON. An error says which invariant is broken; such a block must not be written over. */
export function parseBlock(text: string): Result<Block, string> {
  let json: unknown;
  try {
    json = JSON.parse(text, keepDigits as (this: unknown, key: string, value: unknown) => unknown);
  } catch (e) {
    return err(`Cannot parse block: ${e instanceof Error ? e.message : String(e)}`);
  }
  const parsed = blockSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return err(`Cannot parse block: field ${issue?.path.join(".") ?? "?"}: ${issue?.message ?? "invalid"}`);
  }
  return blockOf(parsed.data);
}

/** Numbers that are fields of an object, which are the sequence numbers, as their digits; elements of arrays stay numbers. */
function keepDigits(this: unknown, _key: string, value: unknown, context: { readonly source?: string }): unknown {
  return typeof value === "number" && !Array.isArray(this) ? (context.source ?? String(value)) : value;
}

function blockOf(raw: z.infer<typeof blockSchema>): Result<Block, string> {
  const cidr = parseCidr(raw.cidr);
  if (!cidr.ok) return err(`Cannot parse block: ${cidr.error}`);
  const block: Block = {
    cidr: cidr.value,
    affinity: raw.affinity ?? (raw.hostAffinity ? `host:${raw.hostAffinity}` : undefined),
    affinityClaimTime: raw.affinity_claim_time ?? undefined,
    allocations: raw.allocations,
    unallocated: raw.unallocated,
    attributes: (raw.attributes ?? []).map(attributeOf),
    sequenceNumber: raw.sequenceNumber ?? 0n,
    sequenceNumberForAllocation: new Map(Object.entries(raw.sequenceNumberForAllocation ?? {}).map(([k, v]) => [Number(k), v])),
  };
  const broken = brokenInvariant(block);
  return broken === undefined ? ok(block) : err(`Block ${raw.cidr} is inconsistent: ${broken}`);
}

function attributeOf(raw: z.infer<typeof attributeSchema>): BlockAttribute {
  return {
    ...(raw.handle_id == null ? {} : { handleId: raw.handle_id }),
    ...(raw.secondary == null ? {} : { secondary: raw.secondary }),
    ...(raw.alternateOwnerAttrs == null ? {} : { alternate: raw.alternateOwnerAttrs }),
    ...(raw.releasedAt == null ? {} : { releasedAt: raw.releasedAt }),
  };
}

/** Which invariant of a loaded block does not hold, in words; undefined if all do. */
export function brokenInvariant(block: Block): string | undefined {
  const size = Number(cidrSize(block.cidr));
  if (block.allocations.length !== size) return `${block.allocations.length} allocations for ${size} addresses`;
  const free = new Set(block.unallocated);
  if (free.size !== block.unallocated.length) return "an ordinal is in unallocated twice";
  for (const [ordinal, index] of block.allocations.entries()) {
    if ((index === null) !== free.has(ordinal))
      return `ordinal ${ordinal} is ${index === null ? "neither allocated nor" : "both allocated and"} in unallocated`;
    if (index !== null && block.attributes[index] === undefined)
      return `ordinal ${ordinal} points at attribute ${index} of ${block.attributes.length}`;
  }
  return block.unallocated.every((ordinal) => ordinal < size) ? undefined : "unallocated names an ordinal outside of the block";
}

/** The JSON to store, fields in Calico's order. */
export function renderBlock(block: Block): string {
  const sequences = [...block.sequenceNumberForAllocation].map(([k, v]) => [String(k), v] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  const fields = [
    `"cidr":${JSON.stringify(formatCidr(block.cidr))}`,
    `"affinity":${JSON.stringify(block.affinity ?? null)}`,
    ...(block.affinityClaimTime === undefined ? [] : [`"affinity_claim_time":${JSON.stringify(block.affinityClaimTime)}`]),
    `"allocations":${JSON.stringify(block.allocations)}`,
    `"unallocated":${JSON.stringify(block.unallocated)}`,
    `"attributes":[${block.attributes.map(renderAttribute).join(",")}]`,
    `"sequenceNumber":${block.sequenceNumber}`,
    `"sequenceNumberForAllocation":{${sequences.map(([k, v]) => `"${k}":${v}`).join(",")}}`,
    `"deleted":false`,
  ];
  return `{${fields.join(",")}}`;
}

/** Attributes never change, and a block is written as often as it gives addresses. */
const rendered = new WeakMap<BlockAttribute, string>();

function renderAttribute(a: BlockAttribute): string {
  const known = rendered.get(a);
  if (known !== undefined) return known;
  const text = JSON.stringify({
    ...(a.handleId === undefined ? {} : { handle_id: a.handleId }),
    ...(a.secondary === undefined ? {} : { secondary: sortedMap(a.secondary) }),
    ...(a.alternate === undefined ? {} : { alternateOwnerAttrs: sortedMap(a.alternate) }),
    ...(a.releasedAt === undefined ? {} : { releasedAt: a.releasedAt }),
  });
  rendered.set(a, text);
  return text;
}

function sortedMap(map: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
}
