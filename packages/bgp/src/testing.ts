/** Fakes of this package's ports. */
export { makeFakeClock, type FakeClock } from "./testing/fake-clock.ts";
export { makeFakeNetwork, type FakeNetwork } from "./testing/fake-network.ts";
export { makeFakeRouteKernel, type FakeRouteKernel } from "./testing/fake-kernel.ts";
