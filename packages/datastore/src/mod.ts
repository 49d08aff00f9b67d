/** The datastore: etcd behind a small port, and typed objects with Calico's rules over it. */
export {
  type Compare,
  type KeyValue,
  type Leadership,
  type Store,
  type StoreConflict,
  StoreUnavailable,
  type TxnOp,
  type TxnResult,
  type WatchEvent,
} from "./ports.ts";
export { type EtcdOptions, openEtcd } from "./adapter/etcd.ts";
export { type EtcdAccess, etcdAccess } from "./adapter/etcd-access.ts";
export { type EtcdUser, type EtcdUserFile } from "./adapter/etcd-login.ts";
export { type EtcdTls, type EtcdTlsFiles } from "./adapter/etcd-tls.ts";
export { ELECTION_PREFIX } from "./domain/election-prefix.ts";
export { ETCD_ROLES, type EtcdPermission, type EtcdRole, renderEtcdRoles } from "./domain/etcd-roles.ts";
export { type DatastoreError, formatId, type Identifier } from "./domain/errors.ts";
export { type InitOptions } from "./service/ensure-initialized.ts";
export { type ResourceInput, type ResourceRef } from "./domain/resource-input.ts";
export { type IpamForDeletes } from "./service/node-guards.ts";
export { type ResourceClient, resourceClient, type ResourceClientOptions, type ResourceList } from "./service/resource-client.ts";
export { type ResourceEvent, type WatchOptions } from "./service/resource-watch.ts";
