/** felix: policy, IP sets, workload routes and tunnels of one node. The pure parts, for the daemon, replay, why and plan. */
export { Graph, type GraphOptions, type Problem } from "./domain/graph.ts";
export { FELIX_KINDS } from "./domain/kinds.ts";
export type { FeedEvent } from "./domain/feed-event.ts";
export { applyDelta, emptyProgram, type Program, type ProgramDelta } from "./domain/program.ts";
export { printProgram, renderProgramText, type ProgramText } from "./domain/print.ts";
export { programOf, renderNode } from "./render-node.ts";
export { tracePacket, type Trace } from "./domain/trace/trace.ts";
export type { Packet } from "./domain/trace/packet.ts";
