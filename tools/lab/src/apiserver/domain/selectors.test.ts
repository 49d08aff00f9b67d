import { expect, test } from "vitest";
import { ApiError } from "./api-error.ts";
import { matchesFields, parseFieldSelector } from "./field-selector.ts";
import { kindNamed } from "./kinds.ts";
import { matchesLabels, parseLabelSelector } from "./label-selector.ts";

const labels = { app: "web", tier: "front", n: "5", "a.b/c": "" };
test.for([
  { selector: "", want: true },
  { selector: "app=web", want: true },
  { selector: "app==web,tier!=back", want: true },
  { selector: "app!=web", want: false },
  { selector: "missing!=x", want: true },
  { selector: "app in (x, web)", want: true },
  { selector: "app notin (x,web)", want: false },
  { selector: "missing notin (x)", want: true },
  { selector: "app in (web),tier in (back)", want: false },
  { selector: "app,!missing", want: true },
  { selector: "!app", want: false },
  { selector: "a.b/c=", want: true },
  { selector: "n>4,n<6", want: true },
  { selector: "app>4", want: false },
])("matchesLabels: $selector is $want", ({ selector, want }) => expect(matchesLabels(parseLabelSelector(selector), labels)).toBe(want));

test.for(["a b", "in (x)", "a in x", "=x", "a=(b)", "a in (b"])("parseLabelSelector: refuses %s", (selector) => {
  expect(() => parseLabelSelector(selector)).toThrow(/unable to parse requirement/);
});

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "d" },
  spec: { nodeName: "n1" },
  status: { phase: "Running" },
};
test.for([
  { selector: "metadata.name=p", want: true },
  { selector: "metadata.name==q", want: false },
  { selector: "spec.nodeName=n1,status.phase!=Failed,status.phase!=Succeeded", want: true },
  { selector: "spec.nodeName!=n1", want: false },
  { selector: "status.podIP=", want: true },
])("matchesFields: $selector is $want", ({ selector, want }) =>
  expect(matchesFields(parseFieldSelector(kindNamed("Pod"), selector), pod)).toBe(want),
);

test("parseFieldSelector: a field that is not supported is 400 with Kubernetes' words", () => {
  expect(() => parseFieldSelector(kindNamed("Pod"), "spec.foo=x")).toThrow(
    new ApiError(400, "BadRequest", "field label not supported: spec.foo"),
  );
});
