/** What the agents' own cores make of the log's events: the programs that they hand to the kernel of one node. */
import { renderNode as renderBgp } from "@calico/bgp";
import type { FeedEvent } from "@calico/bus";
import { renderNode as renderFelix } from "@calico/felix";
import type { Cidr } from "@calico/model";
import { renderNode as renderNat } from "@calico/proxy-nat";
import { byText } from "../domain/fold.ts";
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

/** By component; a function of the records and the settings only. Order inside of one revision has no say. */
export function render(
  records: Iterable<LogRecord>,
  node: string,
  o: AgentSettings & { readonly components: readonly Component[] },
): Rendered {
  const events = eventsOf(records);
  const programs: Readonly<Record<Component, () => string>> = {
    felix: () => renderFelix(events, node, { families: o.families }),
    bgp: () => renderBgp(events, node, o.device === undefined ? {} : { device: o.device }),
    "proxy-nat": () => {
      const texts = renderNat(events, node, { families: o.natFamilies, clusterCidrs: o.clusterCidrs });
      return [...texts].map(([family, text]) => `# ${family === 4 ? "iptables" : "ip6tables"}\n${text}`).join("\n");
    },
  };
  return Object.fromEntries(o.components.map((component) => [component, programs[component]()]));
}

/** By revision, and inside of one by key. */
export function eventsOf(records: Iterable<LogRecord>): readonly FeedEvent[] {
  return [...records].toSorted((a, b) => a.revision - b.revision || byText(a.key, b.key)).map(eventOf);
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
