import { vxlanMac } from "./adapter/vxlan-mac.ts";
import type { FeedEvent } from "./domain/feed-event.ts";
import { Graph } from "./domain/graph.ts";
import type { GraphOptions } from "./domain/graph.ts";
import { printProgram } from "./domain/print.ts";
import { applyDelta, emptyProgram } from "./domain/program.ts";
import type { Program } from "./domain/program.ts";

/** The whole program of one node after these events. Nothing but the events and the node's name has a say in it. */
export function programOf(events: Iterable<FeedEvent>, node: string, options: Partial<GraphOptions> = {}): Program {
  const graph = new Graph({ macOf: vxlanMac, ...options, node });
  for (const event of events) graph.update(event);
  const program = emptyProgram();
  applyDelta(program, graph.flush());
  return program;
}

/** As programOf, in the canonical text. */
export function renderNode(events: Iterable<FeedEvent>, node: string, options: Partial<GraphOptions> = {}): string {
  return printProgram(programOf(events, node, options));
}
