/** Of a FeedEvent, what counts here. */
export type Seen = { readonly kind: string; readonly seenAt?: number };

/**
 * Where on the caller's clock the oldest change of a batch became known to the bus: `nowMs` minus the time it was on the way, so that
 * the time in the caller's own queue can be added by subtraction. A batch of a snapshot counts from `nowMs`.
 *
 * Hosts' clocks differ: a change from the future counts as one of now.
 */
export function seenSince(batch: readonly Seen[], nowMs: number, wallMs: number = Date.now()): number {
  const oldest = batch.reduce((min, event) => Math.min(min, event.seenAt ?? Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
  return nowMs - (Number.isFinite(oldest) ? Math.max(0, wallMs - oldest) : 0);
}
