/** Looks at the token for the API server: at each health question, and now and then by itself. */
import { tokenHealth } from "../domain/token-health.ts";
import type { TokenExpiry, TokenHealth } from "../domain/token-health.ts";
import type { Log } from "../ports.ts";

/** Answers how it stands; the metric is set, and a token that became unusable is logged once. */
export function makeTokenWatch(o: {
  readonly expiry: () => TokenExpiry;
  readonly nowMs: () => number;
  readonly metrics: { set(name: "cni_kube_token_seconds_left", value: number): void };
  readonly log: Log;
}): () => TokenHealth {
  let wasOk = true;
  return () => {
    const token = tokenHealth(o.expiry(), o.nowMs());
    if (token.secondsLeft !== undefined) o.metrics.set("cni_kube_token_seconds_left", token.secondsLeft);
    if (wasOk && !token.ok) o.log.warn("kube token unusable", token.detail);
    wasOk = token.ok;
    return token;
  };
}
