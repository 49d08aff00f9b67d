/** One rule of a policy or profile. Cross-field checks are in validate/rule.ts. Source: calico api/pkg/apis/projectcalico/v3/policy_common.go. */
import { z } from "zod";
import { object, once } from "./base.ts";
import { port, protocol } from "./protoport.ts";
import { net, selectorText } from "./values.ts";
import type { DeepReadonly } from "./base.ts";

const icmp = once(() =>
  object({
    type: z.number().int().min(0).max(254).optional(),
    code: z.number().int().min(0).max(255).optional(),
  }),
);

export const entityRuleSchema = once(() =>
  object({
    nets: z.array(net).max(256).optional(),
    notNets: z.array(net).max(256).optional(),
    selector: selectorText({ max: 1024 }).optional(),
    notSelector: selectorText({ max: 1024 }).optional(),
    namespaceSelector: selectorText({ max: 1024, global: true }).optional(),
    ports: z.array(port).max(50).optional(),
    notPorts: z.array(port).max(50).optional(),
    serviceAccounts: object({ names: z.array(z.string()).optional(), selector: selectorText({ max: 1024 }).optional() }).optional(),
    services: object({ name: z.string().optional(), namespace: z.string().optional() }).optional(),
  }),
);

const httpPath = once(() => object({ exact: z.string().optional(), prefix: z.string().optional() }));

export const ruleSchema = once(() =>
  object({
    action: z.enum(["Allow", "Deny", "Log", "Pass"], "must be Allow, Deny, Log or Pass"),
    ipVersion: z.union([z.literal(4), z.literal(6)]).optional(),
    protocol: protocol.optional(),
    notProtocol: protocol.optional(),
    icmp: icmp().optional(),
    notICMP: icmp().optional(),
    source: entityRuleSchema().optional(),
    destination: entityRuleSchema().optional(),
    http: object({ methods: z.array(z.string()).optional(), paths: z.array(httpPath()).optional() }).optional(),
    metadata: object({ annotations: z.record(z.string(), z.string()).optional() }).optional(),
  }),
);

export type Rule = DeepReadonly<z.output<ReturnType<typeof ruleSchema>>>;
export type EntityRule = DeepReadonly<z.output<ReturnType<typeof entityRuleSchema>>>;
export type RuleAction = Rule["action"];

/** The rules of one direction. */
export const rulesSchema = once(() => z.array(ruleSchema()).max(1024));
