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
  readonly cooldownSec: number;
};

export const DEFAULT_CONFIG: IpamConfig = { strictAffinity: false, autoAllocateBlocks: true, maxBlocksPerHost: 0, cooldownSec: 0 };

/** Blocks of a family that one host may own when nobody says otherwise. */
export const DEFAULT_MAX_BLOCKS = 20;

const configSchema = z.object({
  strict_affinity: z.boolean().nullish(),
  auto_allocate_blocks: z.boolean().nullish(),
  maxBlocksPerHost: z.number().int().nonnegative().nullish(),
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
