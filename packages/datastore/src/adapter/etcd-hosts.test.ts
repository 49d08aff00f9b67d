import { expect, test } from "vitest";
import { makeHostPolicies } from "./etcd-hosts.ts";

const unavailable = Object.assign(new Error("14 UNAVAILABLE"), { code: 14 });
const refused = Object.assign(new Error("permission denied"), { code: 7 });

function setup() {
  const clock = { ms: 0 };
  const policyOf = makeHostPolicies(() => clock.ms);
  const [a, b] = [policyOf("a"), policyOf("b")];
  const calls: string[] = [];
  const call = async (policy: typeof a, name: string, error?: Error) =>
    await policy
      .execute(() => {
        calls.push(name);
        if (error !== undefined) throw error;
        return "ok";
      })
      .catch((thrown: Error) => thrown.message);
  return { clock, a, b, calls, call };
}

test("etcd hosts: one that did not answer is left out for a while, while another is there", async () => {
  const { clock, a, b, calls, call } = setup();
  await call(a, "a", unavailable);
  expect(await call(a, "a")).toMatch(/left out/);
  expect(await call(b, "b")).toBe("ok");
  expect(calls).toEqual(["a", "b"]);
  clock.ms = 10_001;
  expect(await call(a, "a")).toBe("ok");
});

test("etcd hosts: with all left out, all are tried", async () => {
  const { a, b, calls, call } = setup();
  await call(a, "a", unavailable);
  await call(b, "b", unavailable);
  expect(await call(a, "a")).toBe("ok");
  expect(calls).toEqual(["a", "b", "a"]);
});

test("etcd hosts: an answer that says no is an answer", async () => {
  const { a, call } = setup();
  await call(a, "a", refused);
  expect(await call(a, "a")).toBe("ok");
});
