/**
 * Which pools an address may come from.
 *
 * Source: calico libcalico-go/lib/ipam/ipam.go (determinePools), pools.go (SelectsNode, SelectsNamespace).
 */
import { cidrContains, cidrCovers, err, formatCidr, ok, parseCidr, parseSelector } from "@calico/model";
import type { Cidr, Family, Ip, Result } from "@calico/model";
import { z } from "zod";

export type Encap = "Never" | "Always" | "CrossSubnet";
export type Use = "Workload" | "Tunnel" | "LoadBalancer";

export type Pool = {
  readonly name: string;
  readonly cidr: Cidr;
  readonly blockLen: number;
  readonly disabled: boolean;
  readonly automatic: boolean;
  readonly nodeSelector: string;
  readonly namespaceSelector: string;
  readonly uses: readonly Use[];
  readonly ipip: Encap;
  readonly vxlan: Encap;
};

export type Labels = Readonly<Record<string, string>>;

const encap = z.enum(["Never", "Always", "CrossSubnet"]).nullish();
const poolSchema = z.object({
  metadata: z.object({ name: z.string(), deletionTimestamp: z.string().nullish() }),
  spec: z.object({
    cidr: z.string(),
    blockSize: z.number().int().nullish(),
    disabled: z.boolean().nullish(),
    assignmentMode: z.string().nullish(),
    nodeSelector: z.string().nullish(),
    namespaceSelector: z.string().nullish(),
    allowedUses: z.array(z.enum(["Workload", "Tunnel", "LoadBalancer"])).nullish(),
    ipipMode: encap,
    vxlanMode: encap,
  }),
  status: z.object({ conditions: z.array(z.object({ type: z.string(), status: z.string() })).nullish() }).nullish(),
});

/** The block sizes that there are: the shortest and the longest prefix. Source: facts §1.8.1; calico libcalico-go/lib/validator/v3 (IPPool). */
export const BLOCK_LENS = { 4: [20, 32], 6: [116, 128] } as const;

/** A pool from its stored JSON. A pool that is terminating or not allocatable counts as disabled. */
export function parsePool(json: unknown): Result<Pool, string> {
  const parsed = poolSchema.safeParse(json);
  if (!parsed.success) return err(parsed.error.issues.map((i) => `${i.path.join(".")}: ${i.message}`).join("; "));
  const { metadata, spec, status } = parsed.data;
  const cidr = parseCidr(spec.cidr);
  if (!cidr.ok) return err(`spec.cidr: ${cidr.error}`);
  const blockLen = spec.blockSize || (cidr.value.family === 4 ? 26 : 122);
  const [least, most] = BLOCK_LENS[cidr.value.family];
  if (blockLen < least || blockLen > most) return err(`spec.blockSize: ${blockLen} is not within ${least} to ${most}`);
  const notAllocatable = status?.conditions?.some((c) => c.type === "Allocatable" && c.status === "False") ?? false;
  return ok({
    name: metadata.name,
    cidr: cidr.value,
    blockLen,
    disabled: (spec.disabled ?? false) || notAllocatable || metadata.deletionTimestamp != null,
    automatic: (spec.assignmentMode ?? "Automatic") === "Automatic",
    nodeSelector: spec.nodeSelector ?? "",
    namespaceSelector: spec.namespaceSelector ?? "",
    uses: spec.allowedUses ?? ["Workload", "Tunnel"],
    ipip: spec.ipipMode ?? "Never",
    vxlan: spec.vxlanMode ?? "Never",
  });
}

export type PoolRequest = {
  readonly family: Family;
  /** CIDRs asked for by name; selectors and assignment mode do not apply to them. */
  readonly requested: readonly Cidr[];
  readonly node: string;
  readonly nodeLabels: Labels;
  readonly namespaceLabels: Labels | undefined;
  readonly use: Use;
};

/** The pools to take from, in name order, or why there are none. */
export function selectPools(pools: readonly Pool[], request: PoolRequest): Result<readonly Pool[], string> {
  const enabled = byName(pools).filter((p) => !p.disabled && p.cidr.family === request.family);
  const chosen = request.requested.length > 0 ? requestedPools(enabled, request.requested) : automaticPools(enabled, request);
  if (!chosen.ok) return chosen;
  const usable = chosen.value.filter((p) => p.uses.includes(request.use));
  return usable.length > 0 ? ok(usable) : err("cannot find a qualified ippool");
}

function requestedPools(enabled: readonly Pool[], requested: readonly Cidr[]): Result<readonly Pool[], string> {
  const texts = requested.map(formatCidr);
  const missing = texts.find((text) => !enabled.some((p) => formatCidr(p.cidr) === text));
  if (missing !== undefined) return err(`the given pool (${missing}) does not exist, or is not enabled`);
  return ok(enabled.filter((p) => texts.includes(formatCidr(p.cidr))));
}

function automaticPools(enabled: readonly Pool[], request: PoolRequest): Result<readonly Pool[], string> {
  if (enabled.length === 0) return err(`no configured Calico pools for node ${request.node}`);
  return ok(enabled.filter((p) => p.automatic && selectsNode(p, request.nodeLabels) && selectsNamespace(p, request.namespaceLabels)));
}

export function selectsNode(pool: Pool, labels: Labels): boolean {
  return matches(pool.nodeSelector, labels);
}

/** Without a known namespace only a pool that takes all namespaces fits. */
export function selectsNamespace(pool: Pool, labels: Labels | undefined): boolean {
  const all = pool.namespaceSelector === "" || pool.namespaceSelector === "all()";
  return all || (labels !== undefined && matches(pool.namespaceSelector, labels));
}

/** A selector that does not parse matches nothing: no address is given on the strength of a guess. */
function matches(selector: string, labels: Labels): boolean {
  if (selector === "" || selector === "all()") return true;
  const parsed = parsedOnce(selector);
  return parsed.ok && parsed.value.matches(labels);
}

/** The selectors of all pools are asked for again with each change of one. */
const KNOWN_SELECTORS = 1000;
const selectors = new Map<string, ReturnType<typeof parseSelector>>();

function parsedOnce(text: string): ReturnType<typeof parseSelector> {
  const known = selectors.get(text) ?? parseSelector(text);
  if (selectors.size >= KNOWN_SELECTORS) selectors.clear();
  selectors.set(text, known);
  return known;
}

function byName(pools: readonly Pool[]): readonly Pool[] {
  return pools.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

export function poolOfIp(pools: readonly Pool[], ip: Ip): Pool | undefined {
  return pools.find((p) => cidrContains(p.cidr, ip));
}

export function poolOfBlock(pools: readonly Pool[], block: Cidr): Pool | undefined {
  return pools.find((p) => cidrCovers(p.cidr, block));
}
