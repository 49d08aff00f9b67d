export type {
  AssignedIp,
  AssignIpRequest,
  AutoAssignment,
  AutoAssignRequest,
  BlockUtilization,
  Clock,
  FamilyAssignment,
  Ipam,
  IpamError,
  Owner,
  PoolUtilization,
  ReleaseIpRequest,
  ReleaseOutcome,
  TunnelKind,
  TunnelOutcome,
} from "./ports.ts";
export type { Block, BlockAttribute } from "./domain/block.ts";
export { openIpamClient, type IpamClient, type IpamClientOptions } from "./adapter/socket-client.ts";
export { openTarget } from "./adapter/open-store.ts";
export { connectUnix, listenUnix, readLines, type UnixServer } from "./adapter/unix-socket.ts";
export { endpointsOf, targetKey, type EtcdTarget } from "./domain/protocol.ts";
export { makeKeyedLock, type KeyedLock } from "./service/keyed-lock.ts";
export { makeTargetCache } from "./service/serve.ts";
export { makeIpam, type IpamOptions } from "./service/ipam.ts";
export { brokenInvariant, parseBlock, renderBlock } from "./domain/block-json.ts";
export { parsePool, type Pool, type Use } from "./domain/pools.ts";
