/** The model: resources and their validation, selectors, addresses, keys and names. Pure; imports nothing of ours. */
export type { Result } from "./result.ts";
export { err, ok } from "./result.ts";

export type { Cidr, Family, Ip } from "./ip.ts";
export {
  cidrContains,
  cidrCovers,
  cidrOf,
  cidrOverlaps,
  cidrSize,
  compareCidr,
  compareIp,
  familyBits,
  formatCidr,
  formatIp,
  nthIp,
  ordinalOf,
  parseCidr,
  parseCidrLoose,
  parseInterfaceAddress,
  parseIp,
  sameCidr,
  sameIp,
} from "./ip.ts";

export type { Kind, KindInfo, ObjectRef } from "./kinds.ts";
export { ALL_KINDS, API_VERSION, formatRef, isKind, kindInfo, kindOfPlural, KINDS } from "./kinds.ts";

export type { ParsedKey } from "./keys.ts";
export {
  affinityKey,
  affinityPrefix,
  blockKey,
  blockName,
  escapeName,
  handleKey,
  IPAM_BLOCK_PREFIX,
  IPAM_HANDLE_PREFIX,
  IPAM_PREFIX,
  ipamConfigKey,
  ipamHostKey,
  keyOf,
  parseKey,
  prefixOf,
  RESOURCES_PREFIX,
  ROOT_PREFIX,
  unescapeName,
} from "./keys.ts";

export type { WepNameParts } from "./names.ts";
export { isVmHandle, parseWepName, vethName, vmHandle, wepName } from "./names.ts";

export type { ComparisonOp, SelectorNode } from "./selector/ast.ts";
export { andOf, formatSelector, mapLeaves, notOf, prefixLabels, usesGlobal } from "./selector/ast.ts";
export type { LabelGetter, Labels } from "./selector/match.ts";
export { labelGetter } from "./selector/match.ts";
export type { SelectorError } from "./selector/parse.ts";
export type { LabelRestriction, LabelRestrictions } from "./selector/restrictions.ts";
export { labelRestrictions } from "./selector/restrictions.ts";
export type { Selector } from "./selector/selector.ts";
export { parseSelector, selectorOf } from "./selector/selector.ts";
export { makeUniqueId } from "./selector/unique-id.ts";

export type { DeepReadonly, FieldError } from "./resources/base.ts";
export type { EntityRule, Rule, RuleAction } from "./resources/rule.ts";
export type { PolicyType } from "./resources/policies.ts";
export { DEFAULT_TIER, DEFAULT_TIER_ORDER, TIER_LABEL } from "./resources/policies.ts";
export type { NodeSpec, WorkloadEndpointSpec } from "./resources/endpoints.ts";
export type { BlockAffinityValue, IPAMBlockValue } from "./resources/ipam.ts";
export { SERVICE_NAME_LABEL } from "./resources/kubernetes.ts";
export { dscpNumber } from "./resources/values.ts";
export type { PortMatch } from "./resources/protoport.ts";
export { parsePort, protocolHasPorts, protocolNumber } from "./resources/protoport.ts";
export { formatFieldErrors, formatPath, parseResource } from "./resources/parse.ts";
export type {
  AnyApiObject,
  AnyObject,
  ApiKind,
  BGPConfiguration,
  BGPFilter,
  BGPPeer,
  CalicoNodeStatus,
  ClusterInformation,
  FelixConfiguration,
  GlobalNetworkPolicy,
  GlobalNetworkSet,
  HostEndpoint,
  IPAMConfiguration,
  IPPool,
  IPReservation,
  KubeControllersConfiguration,
  KubernetesEndpointSlice,
  KubernetesService,
  Metadata,
  NetworkPolicy,
  NetworkSet,
  Node,
  ObjectKind,
  Profile,
  Resource,
  Tier,
  WorkloadEndpoint,
} from "./resources/schemas.ts";

export type { Applied, CniEvent, Heartbeat, Status } from "./events.ts";
export { appliedSchema, cniEventSchema, heartbeatSchema, statusSchema } from "./events.ts";

export type { ActiveEntity, ActivePolicy, ActiveProfile, ActiveRule } from "./policy/active.ts";
export { activePolicy, activeProfile, activeRule } from "./policy/active.ts";
export type { PolicySelectors } from "./policy/rule-selectors.ts";
export {
  NAMESPACE_LABEL,
  NAMESPACE_PREFIX,
  ORCHESTRATOR_LABEL,
  policySelector,
  ruleSelector,
  SERVICE_ACCOUNT_LABEL,
  SERVICE_ACCOUNT_PREFIX,
} from "./policy/rule-selectors.ts";

export { parsePeerIp } from "./validate/bgp.ts";
export { unknownFields } from "./validate/unknown-fields.ts";
export { checkWritten, validateResource } from "./validate/validate.ts";
