import { keyOf, type ObjectKind } from "@calico/model";
import { beforeEach, expect, test } from "vitest";
import { type FakeStore, makeFakeStore } from "../testing/fake-store.ts";
import type { ResourceInput } from "../domain/resource-input.ts";
import { type ResourceClient, resourceClient } from "./resource-client.ts";
import type { ResourceEvent } from "./resource-watch.ts";

let store: FakeStore;
let objects: ResourceClient;
beforeEach(() => {
  store = makeFakeStore();
  objects = resourceClient(store);
});

const object = <K extends ObjectKind>(kind: K, metadata: ResourceInput["metadata"], spec: unknown = {}): ResourceInput<K> => ({
  kind,
  metadata,
  spec,
});
const wep = (name: string, spec: object = {}) =>
  object("WorkloadEndpoint", { name, namespace: "prod" }, { orchestrator: "k8s", node: "n1", pod: "my-pod", endpoint: "eth0", ...spec });

test.for<{ name: string; input: ResourceInput; want: RegExp }>([
  { name: "an upper-case name", input: object("IPReservation", { name: "Bad" }), want: /metadata\.name = 'Bad'/ },
  { name: "a tier with a dot", input: object("Tier", { name: "a.b" }), want: /metadata\.name = 'a\.b' \(must be a lower-case DNS label/ },
  { name: "a policy name with two dots", input: object("NetworkPolicy", { name: "a.b.c", namespace: "prod" }), want: /metadata\.name/ },
  {
    name: "a label value with a blank",
    input: object("GlobalNetworkSet", { name: "s", labels: { a: "b c" } }),
    want: /metadata\.labels = 'b c'/,
  },
  {
    name: "a set with the namespace label",
    input: object("GlobalNetworkSet", { name: "s", labels: { "projectcalico.org/namespace": "x" } }),
    want: /label is not allowed/,
  },
  { name: "a second ClusterInformation", input: object("ClusterInformation", { name: "other" }), want: /must be "default"/ },
  {
    name: "a FelixConfiguration of no node",
    input: object("FelixConfiguration", { name: "rack-a" }),
    want: /spec\.nodeSelector = '' \(is required unless/,
  },
  {
    name: "a FelixConfiguration of two kinds",
    input: object("FelixConfiguration", { name: "default" }, { nodeSelector: "all()" }),
    want: /must not be set on a FelixConfiguration named default/,
  },
  { name: "a workload endpoint of another name", input: wep("n1-k8s-other-eth0"), want: /expected name n1-k8s-my--pod-eth0/ },
  { name: "a workload endpoint without a pod", input: wep("n1-k8s-x-eth0", { pod: undefined }), want: /pod: field is required/ },
  {
    name: "a staged deletion that says more",
    input: object("StagedNetworkPolicy", { name: "p", namespace: "prod" }, { stagedAction: "Delete", selector: "all()" }),
    want: /spec\.selector = 'all\(\)' \(must be empty with stagedAction Delete\)/,
  },
  {
    name: "a staged policy with a bad rule",
    input: object("StagedGlobalNetworkPolicy", { name: "p" }, { ingress: [{ action: "Allow", destination: { ports: [1] } }] }),
    want: /must set protocol to TCP or UDP or SCTP/,
  },
  { name: "a DSCP value that is none", input: wep("n1-k8s-my--pod-eth0", { qosControls: { dscp: 64 } }), want: /must be a DSCP value/ },
  {
    name: "a filter with two operations in one",
    input: object(
      "BGPFilter",
      { name: "f" },
      { exportV4: [{ action: "Accept", operations: [{ addCommunity: { value: "1:2" }, setPriority: { value: 5 } }] }] },
    ),
    want: /must have exactly one of/,
  },
  {
    name: "a filter with a prefix length of the other family",
    input: object(
      "BGPFilter",
      { name: "f" },
      { exportV4: [{ action: "Accept", cidr: "10.0.0.0/8", matchOperator: "In", prefixLength: { max: 64 } }] },
    ),
    want: /must be a range within 0 to 32/,
  },
])("resourceClient refuses $name", async ({ input, want }) => {
  const made = await objects.create(input);
  expect(made.ok ? "created" : `${made.error.kind} ${made.error.message}`).toMatch(want);
});

test("workload endpoints: identity cannot change, the rest can; labels are the client's", async () => {
  const made = await objects.create(wep("n1-k8s-my--pod-eth0", { containerID: "a" }));
  if (!made.ok) throw new Error(made.error.message);
  expect(made.value.metadata.labels).toEqual({ "projectcalico.org/namespace": "prod", "projectcalico.org/orchestrator": "k8s" });
  const moved = await objects.update({ ...made.value, spec: { ...made.value.spec, node: "n2" } } as ResourceInput<"WorkloadEndpoint">);
  expect(moved.ok ? "moved" : moved.error.message).toMatch(/expected name n2-k8s-my--pod-eth0/);
  const restarted = await objects.update({
    ...made.value,
    spec: { ...made.value.spec, containerID: "b" },
  } as ResourceInput<"WorkloadEndpoint">);
  expect(restarted).toMatchObject({ ok: true, value: { spec: { containerID: "b" } } });
});

test("tiers: refused while a staged policy is in them, deleted after", async () => {
  await objects.create(object("Tier", { name: "security" }, { order: 10 }));
  await objects.create(object("StagedGlobalNetworkPolicy", { name: "p" }, { tier: "security" }));
  const refused = await objects.delete({ kind: "Tier", name: "security" });
  expect(refused.ok ? "" : refused.error.message).toBe(
    "operation Delete is not supported on Tier(security): Cannot delete a non-empty tier",
  );
  await objects.delete({ kind: "StagedGlobalNetworkPolicy", name: "p" });
  expect((await objects.delete({ kind: "Tier", name: "security" })).ok).toBe(true);
});

test("apply: what another client wrote in another order of fields is not written again", async () => {
  const made = await objects.create(object("IPReservation", { name: "r", labels: { b: "1", a: "2" } }, { reservedCIDRs: ["10.0.0.0/30"] }));
  if (!made.ok) throw new Error(made.error.message);
  const key = keyOf({ kind: "IPReservation", name: "r" });
  const { kind, metadata, ...rest } = JSON.parse((await store.get(key))?.value ?? "{}") as Record<string, unknown>;
  const foreign = await store.put(key, JSON.stringify({ ...rest, metadata, kind }));
  const applied = await objects.apply(
    object("IPReservation", { name: "r", labels: { a: "2", b: "1" } }, { reservedCIDRs: ["10.0.0.0/30"] }),
  );
  expect(applied.ok && applied.value.metadata.resourceVersion).toBe(String(foreign.modRevision));
});

/** One line per event, for comparison. */
function line(event: ResourceEvent<"IPReservation">): string {
  if (event.kind === "deleted") return `deleted ${event.ref.name} ${event.previous?.spec.reservedCIDRs?.join() ?? "unseen"}`;
  if (event.kind === "error") return `error ${event.error.kind}`;
  if (event.kind === "terminated") return "terminated";
  return `${event.kind} ${event.object.metadata.name} ${event.object.spec.reservedCIDRs?.join()}`;
}

async function collect(n: number, options: { resourceVersion?: string } = {}): Promise<string[]> {
  const lines: string[] = [];
  const abort = new AbortController();
  for await (const event of objects.watch("IPReservation", { ...options, signal: abort.signal })) {
    lines.push(line(event));
    if (lines.length === n) abort.abort();
  }
  return lines;
}

test("watch: what there is, then changes; deletes carry the object as it was; what cannot be read is told, and passed", async () => {
  const r = (name: string, cidr: string) => object("IPReservation", { name }, { reservedCIDRs: [cidr] });
  await objects.create(r("a", "10.0.0.1/32"));
  const { resourceVersion } = await objects.list("IPReservation");
  const following = collect(6);
  await objects.create(r("b", "10.0.0.2/32"));
  await objects.apply(r("a", "10.0.0.3/32"));
  await store.put(keyOf({ kind: "IPReservation", name: "junk" }), "{");
  await objects.delete({ kind: "IPReservation", name: "a" });
  await objects.delete({ kind: "IPReservation", name: "b" });
  const tail = ["added b 10.0.0.2/32", "modified a 10.0.0.3/32", "error unparsable", "deleted a 10.0.0.3/32", "deleted b 10.0.0.2/32"];
  expect(await following).toEqual(["added a 10.0.0.1/32", ...tail]);
  expect(await collect(5, { resourceVersion })).toEqual(tail);
});

test("watch: compacted history ends it", async () => {
  await objects.create(object("IPReservation", { name: "a" }, { reservedCIDRs: ["10.0.0.1/32"] }));
  await objects.delete({ kind: "IPReservation", name: "a" });
  store.compact();
  expect(await collect(1, { resourceVersion: "1" })).toEqual(["terminated"]);
});
