import { expect, test } from "vitest";
import { ruleOn } from "./publication.ts";

const POOL = "/calico/resources/v3/projectcalico.org/ippools/p";
const AFFINITY = "/calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-26";

test.for([
  { name: "an object", key: POOL, value: '{"a":1}', want: 'put {"a":1}' },
  { name: "a delete", key: POOL, value: undefined, want: "delete " },
  { name: "an empty affinity is {}", key: AFFINITY, value: "", want: "put {}" },
  { name: "an empty object elsewhere", key: POOL, value: "", want: "notJson" },
  { name: "text", key: POOL, value: "hello", want: "notJson" },
  { name: "an array", key: POOL, value: "[]", want: "notJson" },
  { name: "too large, counted in octets", key: POOL, value: `{"a":"${"ä".repeat(50)}"}`, want: "tooLarge" },
  { name: "an unknown plural", key: POOL.replace("ippools", "foo"), value: "{}", want: "unknownKey" },
  { name: "a handle", key: "/calico/ipam/v2/handle/x", value: "{}", want: "ignore" },
])("ruleOn: $name", ({ key, value, want }) => {
  const change =
    value === undefined ? { kind: "delete" as const, key, modRevision: 7 } : { kind: "put" as const, key, value, modRevision: 7 };
  const ruling = ruleOn(change, { maxDataOctets: 80, nowMs: 1 });
  const got =
    ruling.kind === "publish"
      ? `${ruling.publication.op} ${ruling.publication.data}`
      : ruling.kind === "refuse"
        ? ruling.reason
        : ruling.kind;
  expect(got).toBe(want);
});
