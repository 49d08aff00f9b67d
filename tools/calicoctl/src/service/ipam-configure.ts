/** `ipam configure`: one line per change. Source: calico calicoctl/commands/ipam/configure.go. */
import type { IpamConfig } from "@calico/ipam";
import { CliError } from "../domain/cli-error.ts";
import type { Context } from "../ports.ts";

export type ConfigureOptions = {
  readonly strictAffinity: string | undefined;
  readonly maxBlocksPerHost: string | undefined;
  readonly kubeVirtPersistence: string | undefined;
  readonly cooldownSec: string | undefined;
};

/** All changes, or none if one may not be made. */
export async function ipamConfigure(context: Context, options: ConfigureOptions): Promise<void> {
  const change: { -readonly [F in keyof IpamConfig]?: IpamConfig[F] } = {};
  const done: string[] = [];
  if (options.strictAffinity !== undefined) {
    change.strictAffinity = parseBool(options.strictAffinity);
    done.push(`StrictAffinity to: ${change.strictAffinity}`);
  }
  if (options.maxBlocksPerHost !== undefined) {
    change.maxBlocksPerHost = parseCount("max-blocks-per-host", options.maxBlocksPerHost, 1_000_000);
    done.push(`MaxBlocksPerHost to: ${change.maxBlocksPerHost}`);
  }
  if (options.kubeVirtPersistence !== undefined) {
    change.kubeVirtPersistence = options.kubeVirtPersistence === "Disabled" ? "Disabled" : "Enabled";
    done.push(`KubeVirtVMAddressPersistence to: ${change.kubeVirtPersistence}`);
  }
  if (options.cooldownSec !== undefined) {
    change.cooldownSec = parseCount("ip-cooldown-seconds", options.cooldownSec, 1200);
    done.push(`IPCooldownSeconds to: ${change.cooldownSec}`);
  }
  if (done.length === 0)
    throw new CliError(
      "nothing to configure: give --strictaffinity, --max-blocks-per-host, --kubevirt-ip-persistence or --ip-cooldown-seconds",
    );
  const outcome = await (await context.ipam()).setConfig(change);
  if (!outcome.ok) throw new CliError(outcome.error.message);
  for (const text of done) context.io.print(`Successfully set ${text}`);
}

/** As Go's strconv.ParseBool. */
function parseBool(text: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw new CliError(`Invalid value. Use true or false to set strictaffinity, not "${text}"`);
}

function parseCount(flag: string, text: string, max: number): number {
  const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(n <= max)) throw new CliError(`Invalid value "${text}" for ${flag}: expected a number from 0 to ${max}`);
  return n;
}
