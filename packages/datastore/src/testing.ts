export { type FakeStore, type Fault, makeFakeStore } from "./testing/fake-store.ts";
export { startEtcd, type TestEtcd, type TestEtcdOptions } from "./testing/start-etcd.ts";
export { freePort, killChild, startTestServer, type TestServer, untilReady } from "./testing/test-server.ts";
export { makeTestPki, type TestCertificate, type TestPki } from "./testing/test-pki.ts";
export { type Golden, GOLDENS } from "./testing/goldens.ts";
export { enableRoles, makeEtcdctl } from "./testing/etcdctl.ts";
export { type MemberHost, startEtcdCluster, type TestEtcdCluster } from "./testing/start-etcd-cluster.ts";
