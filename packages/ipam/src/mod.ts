export type {
  AssignedIp,
  AssignIpRequest,
  AutoAssignment,
  AutoAssignRequest,
  BlockUtilization,
  Clock,
  Disowned,
  DisownRequest,
  FamilyAssignment,
  Ipam,
  IpamAdmin,
  IpamError,
  Owner,
  OwnerAttributes,
  OwnRequest,
  PoolUtilization,
  ReleaseIpRequest,
  ReleaseOutcome,
  Seen,
  TunnelKind,
  TunnelOutcome,
} from "./ports.ts";
export type { Block, BlockAttribute, HostReserve } from "./domain/block.ts";
export { openIpamClient, type IpamClient, type IpamClientOptions } from "./adapter/socket-client.ts";
export { openTarget, targetOf } from "./adapter/open-store.ts";
export { endpointsOf, targetKey, type EtcdTarget } from "./domain/protocol.ts";
export { makeKeyedLock, type KeyedLock } from "./service/keyed-lock.ts";
export { makeTargetCache } from "./service/serve.ts";
export { makeIpam, type IpamLibrary, type IpamOptions } from "./service/ipam.ts";
export { DEFAULT_CONFIG, parseConfig, type IpamConfig } from "./domain/config.ts";
export { brokenInvariant, parseBlock, renderBlock } from "./domain/block-json.ts";
export { freeOrdinals, isCooling, isEmpty, ordinalsOfHandle, ownerOf, WINDOWS_RESERVED_HANDLE } from "./domain/block.ts";
export { isOwnedBy, OWNER, ownersAt, type OwnerName, type Owners } from "./domain/owner-attributes.ts";
export { heldBy, parseHandle, type Handle } from "./domain/handle.ts";
export { claimantText, parseAffinity, parseClaimant, type AffinityState, type Claimant } from "./domain/affinity.ts";
export { reservedCidrs, reservedIn } from "./domain/reservations.ts";
export { parsePool, poolOfBlock, poolOfIp, selectPools, type Pool, type Use } from "./domain/pools.ts";
export { factPrefixes } from "./service/facts.ts";
export { openMirror, type Mirror, type MirrorOptions } from "./service/mirror.ts";
