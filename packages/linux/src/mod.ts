export type {
  Address,
  AddressOptions,
  ChangesOptions,
  FdbEntry,
  IpsetError,
  IpsetInfo,
  Ipset,
  Iptables,
  IptablesBackend,
  IptablesError,
  IptablesTable,
  KernelEvent,
  Link,
  LinkChange,
  LinkSpec,
  Neighbour,
  NeighbourState,
  Netlink,
  NetlinkOp,
  NetnsPath,
  NextHop,
  OpResult,
  Route,
  RouteFilter,
  RouteRef,
  RouteType,
  Rule,
  Scope,
  VethPeer,
  VxlanOptions,
} from "./ports.ts";
export { NetlinkError } from "./domain/netlink-error.ts";
export { describeRoute } from "./domain/op.ts";
export { routeKey, sameRoute } from "./domain/route-identity.ts";
export { openNetlink } from "./adapter/netlink.ts";
export { createNetns, deleteNetns, listNetns, netnsPath, netnsPathOfPid, withNetns } from "./adapter/netns.ts";
export { readSysctl, writeSysctl, type SysctlOptions } from "./adapter/sysctl.ts";
export { openIptables, type IptablesOptions } from "./adapter/iptables.ts";
export { openIpset } from "./adapter/ipset.ts";
export { deleteConntrack, deleteFlows, type ConntrackOptions, type FlowFilter } from "./adapter/conntrack.ts";
export { run, runOrThrow, type RunOptions, type RunResult } from "./adapter/run.ts";
