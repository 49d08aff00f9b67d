import { err, ok } from "@calico/model";
import type { Result } from "@calico/model";
import type { IpamError } from "../ports.ts";

/** Ends an operation from any depth with an outcome that the caller of the library can act on. */
export class IpamFault extends Error {
  override readonly name = "IpamFault";
  readonly kind: IpamError["kind"];
  constructor(kind: IpamError["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The library's door: faults become values, everything else (the datastore is away) goes on as an exception. */
export async function asResult<T>(action: () => Promise<T>): Promise<Result<T, IpamError>> {
  try {
    return ok(await action());
  } catch (e) {
    if (e instanceof IpamFault) return err({ kind: e.kind, message: e.message });
    throw e;
  }
}

/** Every loop over a compare-and-swap ends here. Source: calico libcalico-go/lib/ipam/ipam.go (datastoreRetries). */
export const MAX_ATTEMPTS = 100;

/** Run `attempt` until it says something else than "conflict"; it is told whether it must read anew. */
export async function untilWritten<T>(what: string, attempt: (fresh: boolean) => Promise<T | "conflict">): Promise<T> {
  for (let i = 0; i < MAX_ATTEMPTS; i++) {
    const outcome = await attempt(i > 0);
    if (outcome !== "conflict") return outcome;
  }
  throw new IpamFault("conflict", `Cannot write ${what}: others changed it ${MAX_ATTEMPTS} times in a row; try again`);
}
