import type { ResourceClient } from "@calico/datastore";

/** What each ADD looks at and people change seldom: read at most once a second. */
const KEPT_KINDS: ReadonlySet<string> = new Set(["ClusterInformation", "Profile"]);
const KEEP_MS = 1000;

/**
 * The same client, where a `get` of an object that is being read joins that read, and one of a ClusterInformation or profile that was found
 * a second ago is not repeated: pods that start look at the same two objects.
 */
export function shareReads(client: ResourceClient, now: () => number = () => performance.now()): ResourceClient {
  const reads = new Map<string, { readonly answer: Promise<unknown>; readonly untilMs: number }>();
  const get: ResourceClient["get"] = (ref) => {
    const key = JSON.stringify([ref.kind, ref.namespace, ref.name]);
    const read = reads.get(key);
    if (read !== undefined && now() < read.untilMs) return read.answer as ReturnType<typeof client.get<typeof ref.kind>>;
    const answer = client.get(ref);
    const forget = () => reads.delete(key);
    const keep = (found: boolean) => {
      if (found && KEPT_KINDS.has(ref.kind)) reads.set(key, { answer, untilMs: now() + KEEP_MS });
      else forget();
    };
    reads.set(key, { answer, untilMs: Number.POSITIVE_INFINITY });
    answer.then(({ ok }) => keep(ok), forget);
    return answer;
  };
  return { ...client, get };
}
