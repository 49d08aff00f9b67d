/** What stands in etcd after our own programs wrote each kind of record: keys and texts as Calico's, by etcd's own tool; and loaded elsewhere, it is all read. */
import { type DatastoreError, openEtcd, type ResourceInput, resourceClient, type Store } from "@calico/datastore";
import { GOLDENS, makeEtcdctl, startEtcd, type TestEtcd } from "@calico/datastore/testing";
import { makeIpam } from "@calico/ipam";
import { ALL_KINDS, API_VERSION, type ObjectKind, RESOURCES_PREFIX, TIER_LABEL } from "@calico/model";
import { afterAll, beforeAll, expect, test } from "vitest";

let etcd: TestEtcd;
let store: Store;
beforeAll(async () => {
  etcd = await startEtcd();
  store = openEtcd({ endpoints: etcd.endpoints });
});
afterAll(async () => {
  await store?.close();
  await etcd?.stop();
});

/** All that is below /calico/, as etcdctl tells it. */
function dump(endpoint: string): Map<string, string> {
  const text = (base64: string) => Buffer.from(base64, "base64").toString();
  const { kvs = [] } = JSON.parse(makeEtcdctl(endpoint)("get", "/calico/", "--prefix", "-w", "json")) as {
    kvs?: { key: string; value: string }[];
  };
  return new Map(kvs.map(({ key, value }) => [text(key), text(value)]));
}

const identity = { uid: "7a9f2a36-0000-4000-8000-000000000001", creationTimestamp: "2026-08-01T10:00:00Z" };

function must<T>(result: { ok: true; value: T } | { ok: false; error: DatastoreError | { message: string } }): T {
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

test("layout: objects of every kind, dumped by etcdctl", async () => {
  const objects = resourceClient(store);
  await objects.ensureInitialized({ clusterType: "k8s,bgp", calicoVersion: "v3.31.0" });
  for (const { kind, name, namespace, labels, written } of [...GOLDENS].sort((a) => (a.kind === "Tier" ? -1 : 1))) {
    if (kind === "ClusterInformation") continue;
    const metadata = { name, ...(namespace && { namespace }), ...(labels && { labels }), ...identity };
    must(await objects.create({ kind, metadata, spec: written } as ResourceInput));
  }
  const found = dump(etcd.endpoints[0]!);
  for (const { kind, key, name, namespace, labels, stored, added } of GOLDENS) {
    if (kind === "ClusterInformation") continue;
    const all = { ...labels, ...added?.labels };
    expect(JSON.parse(found.get(`${RESOURCES_PREFIX}${key}`) ?? "null"), key).toEqual({
      ...{ kind, apiVersion: API_VERSION },
      metadata: {
        ...{ name, ...(namespace && { namespace }), ...identity },
        ...(Object.keys(all).length > 0 && { labels: all }),
        ...(added?.annotations && { annotations: added.annotations }),
      },
      spec: stored,
    });
  }
  expect([...found.keys()].filter((key) => key.includes("/tiers/"))).toEqual(
    ["default", "kube-admin", "kube-baseline", "security"].map((name) => `${RESOURCES_PREFIX}tiers/${name}`),
  );
  expect(JSON.parse(found.get(`${RESOURCES_PREFIX}clusterinformations/default`) ?? "")).toMatchObject({
    spec: { clusterGUID: expect.stringMatching(/^[0-9a-f]{32}$/), clusterType: "k8s,bgp", datastoreReady: true, calicoVersion: "v3.31.0" },
  });
});

/** Numbers and times that differ each time have the name of their form. */
function shape(text: string | undefined): string | undefined {
  return text
    ?.replace(/"sequenceNumber":\d{19}/, '"sequenceNumber":N')
    .replace(/"(\d+)":\d{19}/g, '"$1":N')
    .replace(/"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"/g, '"TIME"');
}

test("layout: every record of IPAM, dumped by etcdctl", async () => {
  const objects = resourceClient(store);
  const ipam = makeIpam({ store });
  for (const pool of (await objects.list("IPPool")).items) await store.delete(`${RESOURCES_PREFIX}ippools/${pool.metadata.name}`);
  must(await objects.create({ kind: "IPPool", metadata: { name: "four" }, spec: { cidr: "10.9.0.0/30", blockSize: 30 } }));
  must(await objects.create({ kind: "IPPool", metadata: { name: "six" }, spec: { cidr: "fd00:10:244::/126", blockSize: 126 } }));
  const node = "Node_1.example.com";
  const attrs = { pod: "nginx", namespace: "default", node, timestamp: "2026-08-01 10:00:01.0 +0000 UTC" };
  must(await ipam.autoAssign({ node, num4: 1, num6: 1, handle: "k8s-pod-network.3b1c", attrs }));
  must(await ipam.autoAssign({ node, num4: 1, num6: 0, handle: "odd/handle %2f.é", attrs: {} }));
  must(await ipam.setConfig({ strictAffinity: true, maxBlocksPerHost: 20, cooldownSec: 60 }));
  must(await ipam.releaseByHandle("odd/handle %2f.é"));
  const found = dump(etcd.endpoints[0]!);
  const ipamKeys = [...found.keys()].filter((key) => key.startsWith("/calico/ipam/"));
  expect(Object.fromEntries(ipamKeys.map((key) => [key, shape(found.get(key))]))).toEqual({
    "/calico/ipam/v2/assignment/ipv4/block/10.9.0.0-30":
      '{"cidr":"10.9.0.0/30","affinity":"host:Node_1.example.com","affinity_claim_time":"TIME","allocations":[0,1,null,null],"unallocated":[2,3],' +
      '"attributes":[{"handle_id":"k8s-pod-network.3b1c","secondary":{"namespace":"default","node":"Node_1.example.com","pod":"nginx","timestamp":"2026-08-01 10:00:01.0 +0000 UTC"}},{"releasedAt":"TIME"}],' +
      '"sequenceNumber":N,"sequenceNumberForAllocation":{"0":N,"1":N},"deleted":false}',
    "/calico/ipam/v2/assignment/ipv6/block/fd00:10:244::-126":
      '{"cidr":"fd00:10:244::/126","affinity":"host:Node_1.example.com","affinity_claim_time":"TIME","allocations":[0,null,null,null],"unallocated":[1,2,3],' +
      '"attributes":[{"handle_id":"k8s-pod-network.3b1c","secondary":{"namespace":"default","node":"Node_1.example.com","pod":"nginx","timestamp":"2026-08-01 10:00:01.0 +0000 UTC"}}],' +
      '"sequenceNumber":N,"sequenceNumberForAllocation":{"0":N},"deleted":false}',
    "/calico/ipam/v2/config":
      '{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":20,"kubeVirtVMAddressPersistence":"Enabled","ipCooldownSeconds":60}',
    "/calico/ipam/v2/handle/k8s-pod-network.3b1c": '{"block":{"10.9.0.0/30":1,"fd00:10:244::/126":1},"deleted":false}',
    "/calico/ipam/v2/host/Node_1.example.com/ipv4/block/10.9.0.0-30": '{"state":"confirmed","deleted":false}',
    "/calico/ipam/v2/host/Node_1.example.com/ipv6/block/fd00:10:244::-126": '{"state":"confirmed","deleted":false}',
  });
});

test("layout: a dump that is loaded into another etcd is read whole, and writing it back changes nothing", async () => {
  await using other = await startEtcd();
  const put = makeEtcdctl(other.endpoints[0]!);
  const before = dump(etcd.endpoints[0]!);
  for (const [key, value] of before) put("put", "--", key, value);
  await using copy = openEtcd({ endpoints: other.endpoints });
  const objects = resourceClient(copy);
  const kinds = ALL_KINDS.filter((kind): kind is ObjectKind => kind !== "IPAMBlock" && kind !== "BlockAffinity");
  for (const kind of kinds) {
    const { items, unparsable } = await objects.list(kind);
    expect(unparsable, kind).toEqual([]);
    for (const item of items) {
      const { resourceVersion, ...metadata } = item.metadata;
      if (metadata.name === "projectcalico-default-allow") continue;
      const again = must(await objects.apply({ ...item, metadata } as ResourceInput));
      expect(again.metadata.resourceVersion, `${kind} ${metadata.name}`).toBe(resourceVersion);
    }
  }
  expect(dump(other.endpoints[0]!)).toEqual(before);
  expect(await makeIpam({ store: copy }).ipsByHandle("k8s-pod-network.3b1c")).toEqual({
    ok: true,
    value: ["10.9.0.0/30", "fd00:10:244::/126"],
  });
});

/** Texts of the forms that releases of Calico before ours stored; what they left out has its default. */
const EARLIER: readonly (readonly [release: string, key: string, value: string, want: object])[] = [
  [
    "3.0",
    "ippools/default-ipv4-ippool",
    '{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"default-ipv4-ippool","uid":"431f5c3e-68b6-11e8-8f6c-08002749ff23","creationTimestamp":"2018-06-05T11:47:45Z"},"spec":{"cidr":"172.16.0.0/16","ipipMode":"Always","natOutgoing":true}}',
    {
      spec: {
        blockSize: 26,
        ipipMode: "Always",
        vxlanMode: "Never",
        nodeSelector: "all()",
        allowedUses: ["Workload", "Tunnel"],
        natOutgoing: true,
      },
    },
  ],
  [
    "3.10",
    "felixconfigurations/default",
    '{"kind":"FelixConfiguration","apiVersion":"projectcalico.org/v3","metadata":{"name":"default","creationTimestamp":null},"spec":{"ipipEnabled":true,"logSeverityScreen":"Info","reportingInterval":"0s","bpfLogLevel":""}}',
    { spec: { ipipEnabled: true, bpfLogLevel: "" } },
  ],
  [
    "3.20",
    "networkpolicies/shop/default.web",
    '{"kind":"NetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"default.web","namespace":"shop","uid":"1","creationTimestamp":"2021-01-01T00:00:00Z"},"spec":{"order":10,"ingress":[{"action":"Allow","protocol":"TCP","source":{"selector":"a == \'b\'"},"destination":{"ports":[80]}}],"selector":"app == \'web\'","types":["Ingress"]}}',
    { metadata: { name: "web", labels: { [TIER_LABEL]: "default" } }, spec: { tier: "default" } },
  ],
];

test.for(EARLIER.map(([release, key, value, want]) => [`${key} of ${release}`, key, value, want] as const))(
  "layout: reads %s",
  async ([, key, value, want]) => {
    const [plural = "", ...names] = key.split("/");
    const kind = GOLDENS.find((golden) => golden.key.startsWith(`${plural}/`))!.kind;
    await store.delete(`${RESOURCES_PREFIX}${key}`);
    await store.create(`${RESOURCES_PREFIX}${key}`, value);
    const { items, unparsable } = await resourceClient(store).list(kind, names.length > 1 ? names[0] : undefined);
    expect(unparsable).toEqual([]);
    expect(items).toContainEqual(
      expect.objectContaining({ ...want, metadata: expect.anything(), spec: expect.objectContaining((want as { spec: object }).spec) }),
    );
  },
);
