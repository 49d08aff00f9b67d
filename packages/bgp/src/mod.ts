/** The BGP speaker: its pure parts for replay and tools, and the shape of its status answers. */
export { decodeMessage, encodeMessage, splitFrames, type Message } from "./domain/codec/message.ts";
export type { PathAttributes, SessionContext } from "./domain/codec/attribute.ts";
export type { NotificationCode, WireError } from "./domain/codec/error.ts";
export type { Update } from "./domain/codec/update.ts";
export { derivePlan, type Plan, type SpeakerSettings } from "./domain/config/plan.ts";
export type { PeerPlan } from "./domain/config/topology.ts";
export { KINDS_FOLLOWED, makeWorld, type World, type WorldStore } from "./domain/config/world.ts";
export { step } from "./domain/fsm/step.ts";
export { INITIAL_STATE, type PeerConfig, type PeerEffect, type PeerEvent, type PeerState } from "./domain/fsm/state.ts";
export { BGP_PROTOCOL, desireOf, type Desire, type KernelRoute } from "./domain/kernel/desire.ts";
export { deriveReachability, type Reachability } from "./domain/kernel/next-hop.ts";
export { Routing } from "./domain/rib/routing.ts";
export { renderNode, type RenderOptions } from "./domain/render-node.ts";
export type { BgpStatus, PeerStatus, RouteStatus } from "./domain/status.ts";
