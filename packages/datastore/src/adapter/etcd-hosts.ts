import { faultOf } from "./etcd-faults.ts";

/** How long a member that did not answer is left out, as long as another one is there. */
const AVOID_MS = 10_000;

/** etcd3's `faultHandling.host`: what runs each call on a member. Throwing without having called makes it take another one. */
export interface HostPolicy {
  execute<T>(action: (context: object) => PromiseLike<T> | T): Promise<T>;
}

/**
 * A member that is cut off answers nothing, so each call on it lasts until its deadline: leave it out for a while.
 * When all are left out, all are tried: nothing is refused without having been tried, as a circuit breaker would.
 */
export function makeHostPolicies(now: () => number = () => performance.now()): (host: string) => HostPolicy {
  const failedAt = new Map<string, number>();
  const avoided = (host: string) => now() - (failedAt.get(host) ?? Number.NEGATIVE_INFINITY) < AVOID_MS;
  return (host) => {
    failedAt.set(host, Number.NEGATIVE_INFINITY);
    return {
      async execute(action) {
        if (avoided(host) && ![...failedAt.keys()].every(avoided)) throw new Error(`etcd member ${host} is left out: it did not answer`);
        try {
          const result = await action({});
          failedAt.set(host, Number.NEGATIVE_INFINITY);
          return result;
        } catch (error) {
          if (isFault(error)) failedAt.set(host, now());
          throw error;
        }
      },
    };
  };
}

/** gRPC's DEADLINE_EXCEEDED and UNAVAILABLE, before etcd3 has given them names. */
function isFault(error: unknown): boolean {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return code === 4 || code === 14 || faultOf(error) !== "refused";
}
