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
export { makeIpam, type IpamOptions } from "./service/ipam.ts";
export { brokenInvariant, parseBlock, renderBlock } from "./domain/block-json.ts";
export { parsePool, type Pool, type Use } from "./domain/pools.ts";
