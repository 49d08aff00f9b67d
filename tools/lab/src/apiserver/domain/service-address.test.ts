import { parseCidr } from "@calico/model";
import { expect, test } from "vitest";
import type { ApiObject } from "./api-object.ts";
import { carryClusterIp, clusterIpProblem, pickClusterIp, reservationsOf, withNodePorts } from "./service-address.ts";

const range = (text: string) => {
  const parsed = parseCidr(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const service = (spec: object): ApiObject => ({ apiVersion: "v1", kind: "Service", metadata: { name: "s" }, spec });

test("pickClusterIp: from above the band of fixed addresses, then from the band, never the first or last of the range", () => {
  const small = range("10.0.0.0/28");
  const taken = new Set<string>();
  const given: string[] = [];
  for (let ip = pickClusterIp(small, taken); ip !== undefined; ip = pickClusterIp(small, taken)) {
    taken.add(ip);
    given.push(ip);
  }
  expect(given).toHaveLength(14);
  expect(given).not.toContain("10.0.0.0");
  expect(given).not.toContain("10.0.0.15");
  expect(pickClusterIp(range("10.96.0.0/12"), new Set())).toBe("10.96.1.1");
});

test.for([
  { ip: "", want: undefined },
  { ip: "None", want: undefined },
  { ip: "10.96.0.10", want: undefined },
  { ip: "10.0.0.1", want: "the provided IP is not in the valid range" },
  { ip: "10.96.0", want: "must be a valid IP address" },
])("clusterIpProblem: $ip", ({ ip, want }) => expect(clusterIpProblem(range("10.96.0.0/12"), ip)).toBe(want));

test("reservationsOf: address and node ports, none for a headless one", () => {
  expect(reservationsOf(service({ clusterIP: "10.0.0.1", ports: [{ nodePort: 30001 }, { port: 1 }] }))).toEqual({
    ips: ["10.0.0.1"],
    nodePorts: [30001],
  });
  expect(reservationsOf(service({ clusterIP: "None" }))).toEqual({ ips: [], nodePorts: [] });
});

test("withNodePorts: given once, kept, and dropped with the type", () => {
  const ports = (s: ApiObject) => (s["spec"] as { ports: { nodePort?: number }[] }).ports.map((p) => p.nodePort);
  const spec = { type: "NodePort", ports: [{ port: 1 }, { port: 2, nodePort: 30001 }, { port: 3 }] };
  expect(ports(withNodePorts(service(spec), new Set([30000])))).toEqual([30002, 30001, 30003]);
  expect(ports(withNodePorts(service({ ...spec, type: "ClusterIP" }), new Set()))).toEqual([undefined, undefined, undefined]);
});

test("carryClusterIp: an update that does not say the address keeps it", () => {
  expect(carryClusterIp(service({ clusterIP: "10.0.0.1" }), service({ type: "ClusterIP" }))["spec"]).toMatchObject({
    clusterIP: "10.0.0.1",
  });
});
