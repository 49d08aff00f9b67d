export { type FakeStore, type Fault, makeFakeStore } from "./testing/fake-store.ts";
export { freePort, killChild, startEtcd, type TestEtcd, untilReady } from "./testing/start-etcd.ts";
