/** What is thought of each address: by default that its owner lives; of the others since when not, and why; and which records contradict each other. */
import { type Allocation, type Endpoint, judge, ownersOf, type Verdict, type World } from "./ipam-gc.ts";

/** Something that is not as it is to be. */
export interface Finding {
  readonly ip: string;
  readonly kind: "overdue" | "contradiction";
  readonly text: string;
  readonly sinceMs: number;
}

export interface AuditCounts {
  readonly owned: number;
  /** Without a living owner, with a reason and its date. */
  readonly unowned: number;
  /** Not the collector's to judge, with the reason. */
  readonly exempt: number;
}

interface Dated {
  readonly allocation: Allocation;
  readonly verdict: Exclude<Verdict, { kind: "owned" }>;
  readonly sinceMs: number;
}

export interface OpinionInputs {
  readonly world: World;
  readonly ofIp: (ip: string) => readonly Allocation[];
  readonly isInPool: (ip: string) => boolean;
  /** Blocks that cannot be read, by their key, which then stands for an address. */
  readonly broken: ReadonlyMap<string, string>;
}

export interface Opinion {
  form(ip: string, nowMs: number): void;
  /** The allocation is no more. */
  forget(id: string): void;
  counts(allocations: number): AuditCounts;
  /** Addresses without an owner for longer than `overdueMs`, and contradictions that have stood for `standingMs`. */
  findings(o: { readonly nowMs: number; readonly overdueMs: number; readonly standingMs: number }): readonly Finding[];
}

export function makeOpinion({ world, ofIp, isInPool, broken }: OpinionInputs): Opinion {
  const dated = new Map<string, Dated>();
  const wrong = new Map<string, Finding>();
  return {
    form(ip, nowMs) {
      const allocations = ofIp(ip);
      for (const allocation of allocations) {
        const verdict = judge(allocation, world, () => false);
        const sinceMs = dated.get(allocation.id)?.sinceMs ?? nowMs;
        if (verdict.kind === "owned") dated.delete(allocation.id);
        else dated.set(allocation.id, { allocation, verdict, sinceMs });
      }
      const text = broken.get(ip) ?? contradictionOf(ip, { allocations, endpoints: world.endpoints.get(ip) ?? [], isInPool });
      if (text === undefined) wrong.delete(ip);
      else wrong.set(ip, { ip, kind: "contradiction", text, sinceMs: wrong.get(ip)?.sinceMs ?? nowMs });
    },
    forget: (id) => void dated.delete(id),
    counts(allocations) {
      const exempt = [...dated.values()].filter(({ verdict }) => verdict.kind === "exempt").length;
      return { owned: allocations - dated.size, unowned: dated.size - exempt, exempt };
    },
    findings: ({ nowMs, overdueMs, standingMs }) => [
      ...overdueOf(dated.values(), nowMs - overdueMs),
      ...[...wrong.values()].filter((f) => nowMs - f.sinceMs >= standingMs),
    ],
  };
}

function overdueOf(dated: Iterable<Dated>, beforeMs: number): readonly Finding[] {
  return [...dated].flatMap(({ allocation: { ip, handle }, verdict, sinceMs }): Finding[] => {
    if (verdict.kind !== "unowned" || sinceMs > beforeMs) return [];
    const why = verdict.evidence.map((e) => e.text).join("; ");
    return [{ ip, kind: "overdue", sinceMs, text: `${ip} of handle ${handle ?? "(none)"} has no owner: ${why}` }];
  });
}

/** What no release can mend: an address of two blocks, of two endpoints, or of one that it was not given to. */
export function contradictionOf(
  ip: string,
  o: Pick<OpinionInputs, "isInPool"> & {
    readonly allocations: readonly Pick<Allocation, "block" | "namespace" | "pod" | "node" | "machine">[];
    readonly endpoints: readonly Pick<Endpoint, "key" | "namespace" | "pod" | "node">[];
  },
): string | undefined {
  const keys = o.endpoints.map((e) => e.key).join(", ");
  const [allocation] = o.allocations;
  const [endpoint] = o.endpoints;
  if (o.allocations.length > 1)
    return `${ip} is allocated in ${o.allocations.length} blocks: ${o.allocations.map((a) => a.block).join(", ")}`;
  const owners = allocation === undefined ? [] : ownersOf(allocation);
  const isHis = (e: (typeof o.endpoints)[number]) =>
    owners.some((w) => w.namespace === e.namespace && w.pod === e.pod && w.node === e.node);
  // A machine that moves has its address twice for a while.
  if (allocation?.machine !== undefined && o.endpoints.length > 1 && o.endpoints.every(isHis)) return undefined;
  if (o.endpoints.length > 1) return `${ip} is of ${o.endpoints.length} endpoints: ${keys}`;
  if (endpoint === undefined) return undefined;
  if (allocation === undefined) return o.isInPool(ip) ? `${ip} is of endpoint ${keys}, but not allocated` : undefined;
  if (allocation.pod === undefined || isHis(endpoint)) return undefined;
  return `${ip} is of endpoint ${keys}, but was given to pod ${allocation.namespace ?? ""}/${allocation.pod} on node ${allocation.node ?? "?"}`;
}
