/** What the health report says of the token for the API server. The token itself is never part of it. */

export type TokenExpiry =
  /** No API server is asked, or without a token. */
  | { readonly at: "none" }
  | { readonly at: "unreadable"; readonly why: string }
  /** It does not say when it ends. */
  | { readonly at: "unknown" }
  | { readonly at: "known"; readonly expiresAtMs: number };

export type TokenHealth = {
  /** False: pods of Kubernetes cannot be added. */
  readonly ok: boolean;
  /** Negative when it is over; undefined when there is nothing to count. */
  readonly secondsLeft: number | undefined;
  readonly detail: Readonly<Record<string, unknown>> | undefined;
};

export function tokenHealth(expiry: TokenExpiry, nowMs: number): TokenHealth {
  switch (expiry.at) {
    case "none":
      return { ok: true, secondsLeft: undefined, detail: undefined };
    case "unknown":
      return { ok: true, secondsLeft: undefined, detail: { expiresAt: "not said by the token" } };
    case "unreadable":
      return { ok: false, secondsLeft: undefined, detail: { problem: expiry.why } };
    case "known": {
      const secondsLeft = Math.floor((expiry.expiresAtMs - nowMs) / 1000);
      const ok = secondsLeft > 0;
      const problem = ok ? {} : { problem: "the token is over: whoever writes the kubeconfig must write a new one" };
      return { ok, secondsLeft, detail: { expiresAt: new Date(expiry.expiresAtMs).toISOString(), secondsLeft, ...problem } };
    }
  }
}
