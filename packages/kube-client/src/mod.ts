export { openKubeClient } from "./open.ts";
export { type KubeConfig, loadConfig, loadInCluster, loadKubeconfig } from "./adapter/load-config.ts";
export { tokenExpiresAtMs } from "./domain/token-expiry.ts";
export { parseKubeconfig, type ParsedKubeconfig } from "./domain/kubeconfig.ts";
export {
  isAlreadyExists,
  isConflict,
  isNotFound,
  KubeConnectionError,
  KubeError,
  needsRelist,
  type StatusDetail,
} from "./domain/kube-error.ts";
export {
  apiVersionOf,
  type KubeObject,
  type ObjectMeta,
  type ObjectPlace,
  resourcePath,
  RESOURCES,
  type ResourceType,
} from "./domain/resource-type.ts";
export {
  type DeleteOptions,
  type KubeClient,
  type KubeList,
  type ListOptions,
  makeClient,
  type PatchType,
  type WatchEvent,
  type WatchOptions,
} from "./service/client.ts";
export { isWorthSaying } from "./domain/worth-saying.ts";
export { keyOfObject, reflect, type ReflectorEvent, type ReflectorOptions } from "./service/reflector.ts";
export { type KeyQueue, type KeyQueueOptions, makeKeyQueue } from "./service/key-queue.ts";
