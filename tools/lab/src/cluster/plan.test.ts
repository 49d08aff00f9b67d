import { expect, test } from "vitest";
import { etcdArgv, etcdEndpoints, natsArgv, natsServers, planInNamespaces, planOnLoopback } from "./plan.ts";

test.for([
  { name: "loopback", plan: planOnLoopback("x", 23_000), etcd: "http://127.0.0.1:23010", nats: "nats://127.0.0.1:23012" },
  { name: "namespaces", plan: planInNamespaces("x"), etcd: "http://10.99.0.2:2379", nats: "nats://10.99.0.2:4222" },
])("cluster plan: $name", ({ plan, etcd, nats }) => {
  expect(etcdEndpoints(plan)[1]).toBe(etcd);
  expect(natsServers(plan)[1]).toBe(nats);
  const addresses = plan.members.flatMap((m) => Object.values(m.ports).map((port) => `${m.address}:${port}`));
  expect(new Set(addresses).size).toBe(12);
  for (const member of plan.members) {
    // Each member is told of all three, itself included.
    expect(etcdArgv(plan, member, "/d").find((a) => a.includes("m0="))).toMatch(/^m0=.*,m1=.*,m2=/);
    expect(natsArgv(plan, member, "/d").at(-1)?.split(",")).toHaveLength(3);
  }
});
