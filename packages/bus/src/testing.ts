export { deleted, deletedKey, type FakeFeed, inSync, makeFakeFeed, updated, updatedKey } from "./testing/fake-feed.ts";
export { type FakeLog, makeFakeLog, type StoredMessage } from "./testing/fake-log.ts";
export { startNats, type TestNats, type TestNatsOptions } from "./testing/start-nats.ts";
export { runSyncer, type SyncerOptions } from "./service/syncer.ts";
export { openTestSyncer } from "./testing/test-syncer.ts";
export { startNatsCluster, type TestNatsCluster } from "./testing/start-nats-cluster.ts";
