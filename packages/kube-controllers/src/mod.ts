export { makeControllers } from "./controllers.ts";
export type { Controller, ControllerPorts, ControllerStatus } from "./ports.ts";
export { METRICS } from "./metrics.ts";
export { convertNetworkPolicy } from "./domain/network-policy.ts";
export type { Converted } from "./domain/converted.ts";
export { type RawFacts, rawFacts } from "./domain/facts.ts";
