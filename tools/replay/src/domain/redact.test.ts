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
  { name: "more than a reference goes", value: { password: { secretKeyRef: {}, plain: "x" } }, want: { password: REDACTED } },
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
