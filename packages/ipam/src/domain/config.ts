/**
 * The IPAM configuration record. Every field of it is omitted when false or 0, so an absent `auto_allocate_blocks` in a
 * record that exists means false, while no record at all means the defaults.
 *
 * Source: calico libcalico-go/lib/backend/model/ipam_config.go; libcalico-go/lib/ipam/ipam.go (defaults).
 */
import { err, ok } from "@calico/model";
import type { Result } from "@calico/model";
import { z } from "zod";

export type IpamConfig = {
  readonly strictAffinity: boolean;
  readonly autoAllocateBlocks: boolean;
  readonly maxBlocksPerHost: number;
  readonly kubeVirtPersistence: "Enabled" | "Disabled";
  readonly cooldownSec: number;
};

export const DEFAULT_CONFIG: IpamConfig = {
  strictAffinity: false,
  autoAllocateBlocks: true,
  maxBlocksPerHost: 0,
  kubeVirtPersistence: "Enabled",
  cooldownSec: 0,
};

/** Blocks of a family that one host may own when nobody says otherwise. */
export const DEFAULT_MAX_BLOCKS = 20;

const configSchema = z.object({
  strict_affinity: z.boolean().nullish(),
  auto_allocate_blocks: z.boolean().nullish(),
  maxBlocksPerHost: z.number().int().nonnegative().nullish(),
  kubeVirtVMAddressPersistence: z.enum(["Enabled", "Disabled"]).nullish(),
  ipCooldownSeconds: z.number().int().min(0).max(1200).nullish(),
});

export function parseConfig(text: string | undefined): Result<IpamConfig, string> {
  if (text === undefined) return ok(DEFAULT_CONFIG);
  try {
    const parsed = configSchema.safeParse(JSON.parse(text));
    if (!parsed.success)
      return err(`Cannot parse the IPAM configuration: ${parsed.error.issues.map((i) => `${i.path.join(".")}: ${i.message}`).join("; ")}`);
    const c = parsed.data;
    return ok({
      strictAffinity: c.strict_affinity ?? false,
      autoAllocateBlocks: c.auto_allocate_blocks ?? false,
      maxBlocksPerHost: c.maxBlocksPerHost ?? 0,
      kubeVirtPersistence: c.kubeVirtVMAddressPersistence ?? "Enabled",
      cooldownSec: c.ipCooldownSeconds ?? 0,
    });
  } catch (e) {
    return err(`Cannot parse the IPAM configuration: ${e instanceof Error ? e.message : String(e)}`);
  }
}

/** The limit that holds: the smaller of those given (0: not given), else the default. */
export function blockLimit(config: IpamConfig, requested: number): number {
  const given = [config.maxBlocksPerHost, requested].filter((n) => n > 0);
  return given.length === 0 ? DEFAULT_MAX_BLOCKS : Math.min(...given);
}

/** Why a configuration may not be set; undefined if it may. Source: calico libcalico-go/lib/ipam/ipam.go (SetIPAMConfig). */
export function configProblem(c: IpamConfig): string | undefined {
  if (!c.strictAffinity && !c.autoAllocateBlocks) return "Cannot disable 'StrictAffinity' and 'AutoAllocateBlocks' at the same time";
  if (c.maxBlocksPerHost > 0 && !c.strictAffinity) return "MaxBlocksPerHost requires StrictAffinity to be enabled";
  if (!isWithin(c.maxBlocksPerHost, 1_000_000)) return `MaxBlocksPerHost must be 0 to 1000000, not ${c.maxBlocksPerHost}`;
  if (!isWithin(c.cooldownSec, 1200)) return `IPCooldownSeconds must be 0 to 1200, not ${c.cooldownSec}`;
  return undefined;
}

function isWithin(n: number, max: number): boolean {
  return Number.isInteger(n) && n >= 0 && n <= max;
}

/** The record to store, without the fields that are false or 0; what `stored` has besides is kept. */
export function renderConfig(c: IpamConfig, stored: string | undefined): string {
  const known = new Set(Object.keys(configSchema.shape));
  const others = Object.entries(JSON.parse(stored ?? "{}") as Record<string, unknown>).filter(([field]) => !known.has(field));
  return JSON.stringify({
    ...(c.strictAffinity ? { strict_affinity: true } : {}),
    ...(c.autoAllocateBlocks ? { auto_allocate_blocks: true } : {}),
    ...(c.maxBlocksPerHost > 0 ? { maxBlocksPerHost: c.maxBlocksPerHost } : {}),
    kubeVirtVMAddressPersistence: c.kubeVirtPersistence,
    ...(c.cooldownSec > 0 ? { ipCooldownSeconds: c.cooldownSec } : {}),
    ...Object.fromEntries(others),
  });
}
