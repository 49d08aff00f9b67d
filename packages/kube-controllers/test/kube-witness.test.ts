import { recordingLogger } from "@calico/daemon/testing";
import { resourceClient } from "@calico/datastore";
import { makeFakeStore } from "@calico/datastore/testing";
import { RESOURCES } from "@calico/kube-client";
import { fakeApi } from "@calico/kube-client/testing";
import { expect, test } from "vitest";
import { KUBERNETES_UID } from "../src/domain/same-kubernetes.ts";
import { makeWitness } from "../src/service/kube-witness.ts";

async function world() {
  const api = fakeApi();
  const datastore = resourceClient(makeFakeStore());
  await datastore.ensureInitialized({ clusterType: "k8s" });
  const log = recordingLogger();
  const gauges = new Map<string, number>();
  const metrics = { set: (name: string, value: number) => void gauges.set(name, value) };
  const be = (uid: string) => api.set(RESOURCES.namespaces, { metadata: { name: "kube-system", uid } });
  const witness = (adopt?: string) => makeWitness({ kube: api, datastore, log, metrics }, { adopt });
  const recorded = async () => {
    const info = await datastore.get({ kind: "ClusterInformation", name: "default" });
    return info.ok ? info.value.metadata.annotations?.[KUBERNETES_UID] : info.error.message;
  };
  const watch = async (kube: ReturnType<typeof witness>["kube"]) => {
    for await (const event of kube.watch(RESOURCES.pods, { resourceVersion: "1", signal: new AbortController().signal })) return event.kind;
  };
  return { api, log, gauges, be, witness, recorded, watch };
}

test("witness: the first cluster is recorded, and followed again by a process that knows nothing", async () => {
  const w = await world();
  w.be("one");
  const first = w.witness();
  expect(first.status().inSync).toBe(false);
  expect((await first.kube.list(RESOURCES.namespaces)).items).toHaveLength(1);
  expect([await w.recorded(), first.status()]).toMatchObject(["one", { inSync: true, failing: 0 }]);
  expect((await w.witness().kube.list(RESOURCES.namespaces)).items).toHaveLength(1);
});

test("witness: an API server set up anew is neither listed nor watched, and is named until the right one is back", async () => {
  const w = await world();
  w.be("one");
  const { kube, status } = w.witness();
  await kube.list(RESOURCES.namespaces);
  w.be("two");
  await expect(kube.list(RESOURCES.namespaces)).rejects.toThrow(
    /another cluster's \(kube-system is two\).*from one.*--adopt-kubernetes two/,
  );
  await expect(w.watch(kube)).rejects.toThrow(/another cluster's/);
  expect(status()).toMatchObject({ inSync: false, failing: 1, problems: [expect.stringContaining("another cluster's")] });
  expect(w.gauges.get("kube_controllers_kubernetes_trusted")).toBe(0);
  expect(w.log.lines.filter((l) => l.level === "error")).toHaveLength(1);
  w.be("one");
  await kube.list(RESOURCES.namespaces);
  expect([status(), await w.recorded()]).toMatchObject([{ inSync: true, failing: 0 }, "one"]);
});

test("witness: only the cluster that the operator names is adopted", async () => {
  const w = await world();
  w.be("one");
  await w.witness().kube.list(RESOURCES.namespaces);
  w.be("two");
  await expect(w.witness("three").kube.list(RESOURCES.namespaces)).rejects.toThrow(/another cluster's/);
  await w.witness("two").kube.list(RESOURCES.namespaces);
  expect(await w.recorded()).toBe("two");
});

test("witness: an API server without kube-system is empty: an error, not an answer", async () => {
  const w = await world();
  await expect(w.witness().kube.list(RESOURCES.pods)).rejects.toThrow(/kube-system/);
  expect(await w.recorded()).toBeUndefined();
});
