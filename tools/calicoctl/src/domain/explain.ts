/** The life of one address, told from the versions of its block, from CNI's calls and from the collector's releases. */
import type { PastMessage } from "@calico/bus";
import { ownerOf, parseBlock, type Block } from "@calico/ipam";
import { isVmHandle, ordinalOf } from "@calico/model";
import type { Ip } from "@calico/model";

export type Moment = { readonly atMs: number; readonly text: string };

type Held = {
  readonly at: "held";
  readonly handle: string;
  readonly sequence: string;
  readonly attrs: Readonly<Record<string, string>>;
  /** The pod that is to have it next: of a virtual machine that moves. */
  readonly alternate: Readonly<Record<string, string>>;
};
type State = { readonly at: "free" } | { readonly at: "cooling"; readonly since: string } | { readonly at: "gone" } | Held;

/** What each version of the block changed for the address; and the handles that it was ever of. */
export function blockMoments(
  versions: readonly PastMessage[],
  ip: Ip,
): { readonly moments: readonly Moment[]; readonly handles: ReadonlySet<string> } {
  const moments: Moment[] = [];
  const handles = new Set<string>();
  let before: State | undefined;
  for (const version of versions) {
    const { state, block } = stateIn(version, ip);
    if (state === undefined) {
      moments.push({ atMs: version.atMs, text: `the block's record of revision ${version.revision ?? "?"} could not be read` });
      continue;
    }
    if (state.at === "held") {
      handles.add(state.handle);
      // A virtual machine's handle does not end in its containers' ids, as others do.
      for (const { container } of [state.attrs, state.alternate]) if (container !== undefined) handles.add(`${state.handle}.${container}`);
    }
    const where = `revision ${version.revision ?? "?"}`;
    for (const text of changes(before, state, block)) moments.push({ atMs: version.atMs, text: `${text} (${where})` });
    before = state;
  }
  return { moments, handles };
}

function stateIn({ op, text }: PastMessage, ip: Ip): { readonly state: State | undefined; readonly block?: Block } {
  if (op === "delete") return { state: { at: "gone" } };
  const parsed = parseBlock(text);
  if (!parsed.ok) return { state: undefined };
  const block = parsed.value;
  const ordinal = ordinalOf(block.cidr, ip);
  const owner = ownerOf(block, ordinal);
  if (owner !== undefined) {
    const sequence = String(block.sequenceNumberForAllocation.get(ordinal) ?? "none");
    return {
      block,
      state: { at: "held", handle: owner.handleId ?? "(none)", sequence, attrs: owner.secondary ?? {}, alternate: owner.alternate ?? {} },
    };
  }
  const index = block.allocations[ordinal];
  const since = typeof index === "number" ? block.attributes[index]?.releasedAt : undefined;
  return { block, state: since === undefined ? { at: "free" } : { at: "cooling", since } };
}

function changes(before: State | undefined, now: State, block: Block | undefined): readonly string[] {
  const owner = block?.affinity ?? "nobody";
  if (before === undefined) {
    if (now.at === "held") return [`the log begins: already assigned to ${holderText(now)}; block of ${owner}`];
    return now.at === "gone" ? [] : [`the block is in the log, of ${owner}; the address is free`];
  }
  const isTaken = before.at === "held" && now.at === "held" && before.handle === now.handle && isVmHandle(now.handle);
  const same = isTaken || (before.at === "held" && now.at === "held" && before.handle === now.handle && before.sequence === now.sequence);
  const out: string[] = [];
  if (before.at === "held" && !same)
    out.push(`released by ${before.handle}${now.at === "cooling" ? "; cools down, and is not given again meanwhile" : ""}`);
  if (before.at === "cooling" && now.at === "free") out.push("cooled down; free again");
  if (now.at === "held" && !same) out.push(`assigned to ${holderText(now)}; block of ${owner}`);
  if (same && ownersText(before) !== ownersText(now))
    out.push(`${isTaken ? "now of" : "its owner's attributes changed:"} ${holderText(now)}`);
  if (now.at === "gone" && before.at !== "gone") out.push("the block was removed, empty");
  if (before.at === "gone" && now.at !== "gone") out.push(`the block was made, of ${owner}`);
  return out;
}

function ownersText(state: State): string {
  return state.at === "held" ? JSON.stringify([state.attrs, state.alternate]) : "";
}

export function holderText({ handle, sequence, attrs, alternate }: Omit<Held, "at">): string {
  const { pod, namespace, node, type, service } = attrs;
  const next = alternate["pod"];
  const parts = [
    pod === undefined && isVmHandle(handle) ? "a virtual machine that is in no pod" : undefined,
    pod === undefined ? undefined : `pod ${namespace ?? ""}/${pod}`,
    service === undefined ? undefined : `service ${namespace ?? ""}/${service}`,
    type,
    node === undefined ? undefined : `on node ${node}`,
    next === undefined ? undefined : `moving to pod ${alternate["namespace"] ?? ""}/${next} on node ${alternate["node"] ?? "?"}`,
    `handle ${handle}`,
    `sequence ${sequence}`,
  ];
  return parts.filter((p) => p !== undefined).join(", ");
}

type CniBody = {
  readonly command?: string;
  readonly node?: string;
  readonly containerId?: string;
  readonly namespace?: string;
  readonly pod?: string;
  readonly ips?: readonly string[];
  readonly ok?: boolean;
  readonly durationMs?: number;
  readonly error?: { readonly msg?: string };
};

/** CNI's calls that were about the address, or about a container that ever had it. */
export function cniMoments(
  messages: readonly PastMessage[],
  o: { readonly ip: string; readonly handles: ReadonlySet<string> },
): readonly Moment[] {
  return messages.flatMap(({ atMs, text }) => {
    const body = bodyOf(text) as CniBody | undefined;
    if (body?.command === undefined) return [];
    const named = body.ips?.some((ip) => ip.split("/")[0] === o.ip) ?? false;
    const id = body.containerId ?? "";
    const held = id !== "" && [...o.handles].some((handle) => handle.endsWith(`.${id}`));
    if (!named && !held) return [];
    const pod = body.pod === undefined ? "" : ` for pod ${body.namespace ?? ""}/${body.pod}`;
    const outcome = body.ok === true ? "succeeded" : `failed: ${body.error?.msg ?? "no reason given"}`;
    return [{ atMs, text: `CNI ${body.command} on node ${body.node ?? "?"}${pod}, container ${id}, ${outcome}` }];
  });
}

type GcBody = {
  readonly handle?: string;
  readonly sequence?: string;
  readonly since?: string;
  readonly evidence?: readonly { readonly text?: string; readonly source?: string; readonly revision?: string }[];
};

/** Releases by the garbage collector, each with all of its evidence. */
export function gcMoments(messages: readonly PastMessage[]): readonly Moment[] {
  return messages.flatMap(({ atMs, text }) => {
    const body = bodyOf(text) as GcBody | undefined;
    if (body === undefined) return [];
    const head = `released by the garbage collector from handle ${body.handle ?? "(none)"}, sequence ${body.sequence ?? "none"}; without an owner since ${body.since ?? "?"}`;
    return [{ atMs, text: [head, ...reasons(body.evidence)].join("\n    because ") }];
  });
}

type SuspectBody = Pick<GcBody, "handle" | "evidence"> & { readonly owner?: string };

/** When the collector found it without an owner, with its evidence, and when with one again. */
export function suspectMoments(messages: readonly PastMessage[]): readonly Moment[] {
  return messages.flatMap(({ atMs, text }) => {
    const body = bodyOf(text) as SuspectBody | undefined;
    if (body === undefined) return [];
    if (body.owner !== undefined) return [{ atMs, text: `seen with its owner again: ${body.owner}` }];
    return [
      { atMs, text: [`seen without an owner, of handle ${body.handle ?? "(none)"}`, ...reasons(body.evidence)].join("\n    because ") },
    ];
  });
}

function reasons(evidence: GcBody["evidence"]): ReadonlySet<string> {
  return new Set((evidence ?? []).map((e) => `${e.text ?? "?"} (${e.source ?? "?"} revision ${e.revision ?? "?"})`));
}

function bodyOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** In time's order; of one time, in the order given. */
export function timeline(moments: readonly Moment[]): readonly string[] {
  return moments.toSorted((a, b) => a.atMs - b.atMs).map(({ atMs, text }) => `  ${new Date(atMs).toISOString()}  ${text}`);
}
