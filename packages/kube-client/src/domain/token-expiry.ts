/**
 * When a bearer token ends, by its own claim. The signature is the API server's to check.
 *
 * Source: RFC 7519 §4.1.4 ("exp"); Kubernetes documentation, "Managing Service Accounts" (bound tokens).
 */

/** Milliseconds since 1970; undefined for a token that does not say, such as one that never ends. */
export function tokenExpiresAtMs(token: string): number | undefined {
  const payload = token.split(".")[1];
  if (payload === undefined) return undefined;
  try {
    const claims = JSON.parse(new TextDecoder().decode(fromBase64Url(payload))) as { readonly exp?: unknown } | null;
    return typeof claims?.exp === "number" && Number.isFinite(claims.exp) ? claims.exp * 1000 : undefined;
  } catch {
    return undefined; // no JSON Web Token
  }
}

function fromBase64Url(text: string): Uint8Array {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}
