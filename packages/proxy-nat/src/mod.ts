/** proxy-nat: the pure part, for replay and tools. The daemon is main.ts. */
export { makeNatCore, NAT_KINDS, type Changes, type NatConfig, type NatCore, type Problem, type StaleFlow } from "./domain/core.ts";
export { renderNode } from "./domain/render-node.ts";
export type { Chain, ChainRef } from "./domain/chain.ts";
export type { Clock, Conntrack, Feed, Reporter, Tables } from "./ports.ts";
