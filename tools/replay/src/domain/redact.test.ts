import fc from "fast-check";
import { expect, test } from "vitest";
import { isSecretName, redact, REDACTED } from "./redact.ts";

test.for([
  ["password", true],
  ["bgpPassword", true],
  ["api-token", true],
  ["example.com/auth_token", true],
  ["apiKey", true],
  ["API_KEY", true],
  ["privateKeys", true],
  ["passwords", true],
  ["tokens", true],
  ["wireguardPublicKey", false],
  ["wireguardPrivateKey", true],
  ["keyboard", false],
  ["tokenizer", false],
  ["selector", false],
  ["secretKeyRef", false],
] as const)("isSecretName: %s %s", ([name, want]) => {
  expect(isSecretName(name)).toBe(want);
});

test.for<{ name: string; value: unknown; want: unknown }>([
  { name: "a field", value: { spec: { password: "x", cidr: "y" } }, want: { spec: { password: REDACTED, cidr: "y" } } },
  { name: "in a list", value: [{ token: ["x"] }], want: [{ token: REDACTED }] },
  {
    name: "a reference stays",
    value: { password: { secretKeyRef: { name: "n", key: "k" } } },
    want: { password: { secretKeyRef: { name: "n", key: "k" } } },
  },
  {
    name: "what stands beside a reference goes",
    value: { password: { secretKeyRef: { name: "n" }, plain: "x" } },
    want: { password: { secretKeyRef: { name: "n" }, plain: REDACTED } },
  },
  {
    name: "labels stay: selectors match them",
    value: { metadata: { labels: { token: "x" } } },
    want: { metadata: { labels: { token: "x" } } },
  },
  {
    name: "an object in an annotation",
    value: { annotations: { last: '{"spec":{"apiKey":"x","a":1}}' } },
    want: { annotations: { last: `{"spec":{"apiKey":"${REDACTED}","a":1}}` } },
  },
  { name: "a URL", value: { url: "https://me:secret@host/p" }, want: { url: `https://${REDACTED}@host/p` } },
  {
    name: "a label's name in a selector stays",
    value: { matchExpressions: [{ key: "app" }] },
    want: { matchExpressions: [{ key: "app" }] },
  },
  { name: "an environment variable", value: [{ name: "API_TOKEN", value: "x" }], want: [{ name: "API_TOKEN", value: REDACTED }] },
  { name: "a flag and its value", value: ["--token", "x", "--verbose", "y"], want: ["--token", REDACTED, "--verbose", "y"] },
  { name: "a flag with its value", value: "run --join-token=abc --node one", want: `run --join-token=${REDACTED} --node one` },
  { name: "a bearer", value: { a: "Bearer abcdefgh.ijk" }, want: { a: `Bearer ${REDACTED}` } },
  { name: "a JSON web token", value: { a: "x eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln y" }, want: { a: `x ${REDACTED} y` } },
  {
    name: "a private key in a text",
    value: { a: "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----\nrest" },
    want: { a: `${REDACTED}\nrest` },
  },
  {
    name: "a reference holds names and nothing else",
    value: { secretKeyRef: { name: "n", key: "k", optional: true, value: "x" } },
    want: { secretKeyRef: { name: "n", key: "k", optional: true, value: REDACTED } },
  },
  {
    name: "selectors stay",
    value: { selector: "token == 'x' && secret=='y' && password != 'z'" },
    want: { selector: "token == 'x' && secret=='y' && password != 'z'" },
  },
  { name: "text like JSON", value: { a: "{not" }, want: { a: "{not" } },
])("redact: $name", ({ value, want }) => {
  expect(redact(value)).toEqual(want);
});

test("redact: whatever is around it, a secret does not come out, and the rest does", () => {
  const name = fc.constantFrom("password", "authToken", "ssh-key", "client_secret");
  const step = fc.constantFrom<(inner: unknown) => unknown>(
    (inner) => ({ spec: inner, other: 1 }),
    (inner) => [inner, 2],
    (inner) => ({ annotations: { "a/b": JSON.stringify(inner) } }),
  );
  fc.assert(
    fc.property(name, fc.array(step, { maxLength: 5 }), (field, steps) => {
      const value = steps.reduce((inner, wrap) => wrap(inner), { [field]: "hunter2", kept: "kept-value" } as unknown);
      const text = JSON.stringify(redact(value));
      expect(text).not.toContain("hunter2");
      expect(text).toContain("kept-value");
    }),
  );
});
