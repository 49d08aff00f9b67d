import { expect, test } from "vitest";
import { tokenExpiresAtMs } from "./token-expiry.ts";

const jwt = (claims: unknown) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.c2ln`;

test.for<{ name: string; token: string; want: number | undefined }>([
  {
    name: "a bound token",
    token: jwt({ iss: "kubernetes", exp: 1_800_000_000, sub: "system:serviceaccount:kube-system:calico" }),
    want: 1_800_000_000_000,
  },
  { name: "letters that base64url has and base64 has not", token: jwt({ exp: 1, x: "ÿþ?>~ûï" }), want: 1000 },
  { name: "a token that never ends", token: jwt({ iss: "kubernetes/serviceaccount" }), want: undefined },
  { name: "an end that is no number", token: jwt({ exp: "soon" }), want: undefined },
  { name: "null for claims", token: jwt(null), want: undefined },
  { name: "an opaque token", token: "abcdef.0123456789abcdef", want: undefined },
  { name: "no dots", token: "secret", want: undefined },
  { name: "empty", token: "", want: undefined },
])("tokenExpiresAtMs: $name", ({ token, want }) => {
  expect(tokenExpiresAtMs(token)).toBe(want);
});
