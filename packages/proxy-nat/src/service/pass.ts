import type { Chain, ChainRef } from "../domain/chain.ts";
import type { NatCore, StaleFlow } from "../domain/core.ts";
import { staleFlows } from "../domain/stale-udp.ts";
import type { Clock, Conntrack } from "../ports.ts";
import type { Applier } from "./applier.ts";

/** What one pass did, with its times. Chains by `table/name`. */
export interface Pass {
  /** All was read back and compared. */
  readonly full: boolean;
  readonly services: readonly string[];
  readonly written: readonly string[];
  /** Differed although this process had written it: somebody else's doing. */
  readonly repaired: readonly string[];
  readonly forgottenFlows: number;
  readonly calcMs: number;
  readonly kernelMs: number;
}

export interface Passes {
  /** Bring the core's changes into the kernel; all of it when that is due. Throws if the kernel refuses; the next pass is then a full one. */
  run(): Promise<Pass>;
  /** Milliseconds until the next comparison is due. */
  dueMs(): number;
}

type Written = Pick<Pass, "full" | "written" | "repaired">;

const NEVER = Number.NEGATIVE_INFINITY;

/** Passes over one core and one kernel. */
export function makePasses(
  ports: { readonly core: NatCore; readonly applier: Applier; readonly conntrack: Conntrack; readonly clock: Clock },
  options: { readonly resyncMs: number },
): Passes {
  const { core, applier, conntrack, clock } = ports;
  const flows: StaleFlow[] = [];
  let comparedMs = NEVER;
  /** The kernel is as this process wrote it, as far as it knows. */
  let known = false;

  async function compare(changed: readonly string[], wasKnown: boolean): Promise<Written> {
    const { differed, udpBefore } = await applier.resync(core.chains().values());
    if (comparedMs === NEVER) flows.splice(0, flows.length, ...staleFlows(udpBefore, core.udpPorts()));
    comparedMs = clock.nowMs();
    const own = new Set(changed);
    return wasKnown
      ? { full: true, written: changed, repaired: differed.filter((d) => !own.has(d)) }
      : { full: true, written: differed, repaired: [] };
  }

  async function write(set: readonly Chain[], remove: readonly ChainRef[]): Promise<Written> {
    const changed = [...set, ...remove].map((c) => `${c.table}/${c.name}`);
    const wasKnown = known;
    const full = !wasKnown || clock.nowMs() >= comparedMs + options.resyncMs;
    known = false;
    const written = full ? await compare(changed, wasKnown) : { full, written: changed, repaired: [] };
    if (!full) await applier.apply({ set, remove });
    known = true;
    return written;
  }

  return {
    async run() {
      const startMs = clock.nowMs();
      const { set, remove, staleUdp, services } = core.flush();
      flows.push(...staleUdp);
      const calcMs = clock.nowMs() - startMs;
      const written = await write(set, remove);
      const forgottenFlows = flows.length === 0 ? 0 : await conntrack.forget(flows);
      flows.length = 0;
      return { ...written, services, forgottenFlows, calcMs, kernelMs: clock.nowMs() - startMs - calcMs };
    },
    dueMs: () => Math.max(0, comparedMs + options.resyncMs - clock.nowMs()),
  };
}
