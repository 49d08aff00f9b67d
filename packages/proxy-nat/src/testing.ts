/** Builders of events, a strict fake of the kernel's tables, and a packet that walks through it. */
export { aService, aSlice, deleted, inSync, type ServiceOptions, type SliceOptions } from "./testing/events.ts";
export { fakeTables, type FakeTables } from "./testing/fake-tables.ts";
export { tracePacket, type Packet } from "./testing/trace-packet.ts";
