/** Fakes of this package's ports, for other packages' tests. */
export { makeFakeNetlink, type FakeNetlink } from "./testing/fake-netlink.ts";
export { addFakeNetns, makeFakeKernel, OWN_NETNS, type FakeKernel } from "./testing/fake-kernel.ts";
export { makeFakeIptables, type FakeIptables } from "./testing/fake-iptables.ts";
export { makeFakeIpset, type FakeIpset } from "./testing/fake-ipset.ts";
