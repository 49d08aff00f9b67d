/** What the agents' own cores make of the log's events: the programs that they hand to the kernel of one node. */
import { KINDS_FOLLOWED as BGP_KINDS, renderNode as renderBgp } from "@calico/bgp";
import type { FeedEvent } from "@calico/bus";
import { FELIX_KINDS, renderNode as renderFelix } from "@calico/felix";
import type { Cidr, Kind } from "@calico/model";
import { NAT_KINDS, renderNode as renderNat } from "@calico/proxy-nat";
import { byText, fold, type State } from "../domain/fold.ts";
import { type LogRecord, valueOf } from "../domain/history.ts";

export const COMPONENTS = ["felix", "bgp", "proxy-nat"] as const;
export type Component = (typeof COMPONENTS)[number];

/** What an agent is told by its command line, not by the log. */
export type AgentSettings = {
  readonly families: readonly (4 | 6)[];
  readonly natFamilies: readonly (4 | 6)[];
  readonly clusterCidrs: readonly Cidr[];
  readonly device?: string;
};

export type Rendered = Readonly<Record<string, string>>;

/**
 * By component; a function of the records and the settings only.
 *
 * The cores are fed the last change of each object, not every one: what they make of a history is what they make of the state
 * that it ends in (render.test.ts feeds both), so a long log costs what its state costs.
 */
export function render(
  records: Iterable<LogRecord>,
  node: string,
  o: AgentSettings & { readonly components: readonly Component[] },
): Rendered {
  const state = fold(records);
  const programs: Readonly<Record<Component, () => string>> = {
    felix: () => renderFelix(eventsOf(state, FELIX_KINDS), node, { families: o.families }),
    bgp: () => renderBgp(eventsOf(state, BGP_KINDS), node, o.device === undefined ? {} : { device: o.device }),
    "proxy-nat": () => {
      const texts = renderNat(eventsOf(state, NAT_KINDS), node, { families: o.natFamilies, clusterCidrs: o.clusterCidrs });
      return [...texts].map(([family, text]) => `# ${family === 4 ? "iptables" : "ip6tables"}\n${text}`).join("\n");
    },
  };
  return Object.fromEntries(o.components.map((component) => [component, programs[component]()]));
}

/** The objects of a state as events, by key. Values are parsed one at a time. */
export function* eventsOf(state: State, kinds: readonly Kind[]): Generator<FeedEvent> {
  const wanted = new Set(kinds);
  const records = [...state.values()].filter(({ ref }) => wanted.has(ref.ref.kind));
  for (const record of records.toSorted((a, b) => byText(a.key, b.key))) yield eventOf(record);
}

export function eventOf(record: LogRecord): FeedEvent {
  const { key, ref, revision } = record;
  return record.op === "delete" ? { kind: "deleted", key, ref, revision } : { kind: "updated", key, ref, value: valueOf(record), revision };
}

/** All components as one text. */
export function printRendered(rendered: Rendered): string {
  const texts = Object.entries(rendered);
  return texts.length === 1 ? (texts[0]?.[1] ?? "") : texts.map(([component, text]) => `## ${component}\n${text}`).join("\n");
}
