import { expect, test } from "vitest";
import { chainName, isOurSet, policySuffix, setName } from "./names.ts";
import type { PolicyId } from "./names.ts";

test.for<{ name: string; prefix: string; suffix: string; want: string }>([
  {
    name: "a short global policy stays readable",
    prefix: "cali-pi-",
    suffix: policySuffix({ kind: "GlobalNetworkPolicy", name: "deny-all" }),
    want: "cali-pi-gnp/deny-all",
  },
  { name: "a long policy is hashed", prefix: "cali-pi-", suffix: "np/default/allow-nginx-http", want: "cali-pi-_xoGYZ01vnf0F3y9Ysoq" },
  { name: "a profile", prefix: "cali-pri-", suffix: "kns.default", want: "cali-pri-kns.default" },
  { name: "a long profile is hashed", prefix: "cali-pro-", suffix: "ksa.kube-system.coredns", want: "cali-pro-_u2Tn2rSoAPffvE7JO6" },
  { name: "an endpoint", prefix: "cali-tw-", suffix: "calic440f455693", want: "cali-tw-calic440f455693" },
  { name: "an empty suffix is _", prefix: "cali-tw-", suffix: "", want: "cali-tw-_" },
  { name: "exactly 28 characters fit", prefix: "cali-pi-", suffix: "a".repeat(20), want: `cali-pi-${"a".repeat(20)}` },
])("chainName: $name", ({ prefix, suffix, want }) => {
  expect(chainName(prefix, suffix)).toBe(want);
});

test("chainName: exactly 28 characters that begin with _ are hashed, so a hashed name has one origin", () => {
  expect(chainName("cali-pi-", `_${"a".repeat(19)}`)).not.toBe(`cali-pi-_${"a".repeat(19)}`);
});

test("policySuffix: a namespaced policy names its namespace", () => {
  const id: PolicyId = { kind: "NetworkPolicy", namespace: "default", name: "knp.default.web" };
  expect(policySuffix(id)).toBe("np/default/knp.default.web");
});

test("setName: cut to 31 characters", () => {
  expect(setName(4, "s:flMh0m0X_BowkAK_W3j3MgH8oQOsj3WxGDoXCQ")).toBe("cali40s:flMh0m0X_BowkAK_W3j3MgH");
});

test("isOurSet: main and temporary sets of both families, nothing else", () => {
  expect(["cali40s:x", "cali60s:x", "cali4t0", "cali6t0", "cali4x", "KUBE-LOOP", "cali50s:x"].map(isOurSet)).toEqual([
    true,
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
});
