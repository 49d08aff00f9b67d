/** Pools, reservations, IPAM configuration, and the IPAM library's own records. Source: calico api v3 ippool.go, ipreservation.go, ipamconfig.go; libcalico-go/lib/backend/model/block.go. */
import { z } from "zod";
import { parseCidr } from "../ip.ts";
import { object, once, resource, resourceWithStatus } from "./base.ts";
import { cidr, looseNet, selectorText } from "./values.ts";
import type { DeepReadonly } from "./base.ts";

const encapMode = once(() => z.enum(["Never", "Always", "CrossSubnet"], "must be Never, Always or CrossSubnet"));

const poolSpec = once(() =>
  object({
    cidr,
    vxlanMode: encapMode().default("Never"),
    ipipMode: encapMode().default("Never"),
    natOutgoing: z.boolean().default(false),
    disabled: z.boolean().default(false),
    disableBGPExport: z.boolean().default(false),
    blockSize: z.number().int().optional(),
    nodeSelector: selectorText()
      .default("all()")
      .transform((text) => text || "all()"),
    namespaceSelector: selectorText().optional(),
    allowedUses: z.array(z.enum(["Workload", "Tunnel", "LoadBalancer"])).default(["Workload", "Tunnel"]),
    assignmentMode: z.enum(["Automatic", "Manual"]).default("Automatic"),
  }).transform((spec) => {
    const parsed = parseCidr(spec.cidr);
    const family = parsed.ok ? parsed.value.family : 4;
    return { ...spec, blockSize: spec.blockSize ?? (family === 4 ? 26 : 122) };
  }),
);

const condition = once(() =>
  object({ type: z.string(), status: z.string(), reason: z.string().optional(), message: z.string().optional() }),
);

export const ipPoolSchema = once(() => resourceWithStatus("IPPool", poolSpec(), object({ conditions: z.array(condition()).optional() })));

export const ipReservationSchema = once(() =>
  resource("IPReservation", object({ reservedCIDRs: z.array(looseNet).optional() }).prefault({})),
);

export const ipamConfigurationSchema = once(() =>
  resource(
    "IPAMConfiguration",
    object({
      strictAffinity: z.boolean().default(false),
      maxBlocksPerHost: z.number().int().min(0).max(1_000_000).default(0),
      autoAllocateBlocks: z.boolean().default(true),
      kubeVirtVMAddressPersistence: z.enum(["Enabled", "Disabled"]).default("Enabled"),
      ipCooldownSeconds: z.number().int().min(0).max(1200).default(0),
    }).prefault({}),
  ),
);

const attributeMap = once(() => z.record(z.string(), z.string()));

const allocationAttribute = once(() =>
  object({
    /** null in what Calico up to 3.4 wrote. */
    handle_id: z.string().nullish(),
    secondary: attributeMap().nullish(),
    alternateOwnerAttrs: attributeMap().nullish(),
    releasedAt: z.string().nullish(),
  }),
);

/** The value of a block's key, as the IPAM library writes it: no kind, no metadata. */
export const ipamBlockSchema = once(() =>
  object({
    cidr,
    /** `host:<node>`, `virtual:<owner>`, or nobody's. */
    affinity: z.string().nullish(),
    affinity_claim_time: z.string().nullish(),
    /** One entry per address: free, or an index into attributes. */
    allocations: z.array(z.number().int().nullable()),
    /** Free ordinals, first out first. */
    unallocated: z.array(z.number().int()),
    attributes: z
      .array(allocationAttribute())
      .nullish()
      .transform((list) => list ?? []),
    /** Above 2^53 in real stores: only its order matters here, so a rounded number is enough for readers; IPAM has its own exact codec. */
    sequenceNumber: z.number().optional(),
    sequenceNumberForAllocation: z.record(z.string(), z.number()).nullish(),
    deleted: z.boolean().optional(),
    hostAffinity: z.string().nullish(),
  }),
);

/** The value of an affinity's key. An empty value is version 2 data and confirmed. */
export const blockAffinitySchema = once(() =>
  object({
    state: z
      .enum(["confirmed", "pending", "pendingDeletion", ""])
      .default("confirmed")
      .transform((state) => state || ("confirmed" as const)),
    deleted: z.boolean().default(false),
  }),
);

export type IPAMBlockValue = DeepReadonly<z.output<ReturnType<typeof ipamBlockSchema>>>;
export type BlockAffinityValue = DeepReadonly<z.output<ReturnType<typeof blockAffinitySchema>>>;
