/** DEL removes an endpoint as ADD wrote it, without reading it before; whatever changed it meanwhile is heeded. */
import { resourceClient } from "@calico/datastore";
import { expect, test } from "vitest";
import { callPlugin, endpointsOf, leftIn, makeFakeWorld } from "../testing.ts";
import type { FakeWorld } from "../testing.ts";

const REF = { kind: "WorkloadEndpoint", namespace: "default", name: "node1-k8s-nginx-eth0" } as const;
const DEL = { env: { CNI_COMMAND: "DEL" } };

async function change(world: FakeWorld, containerID: string): Promise<void> {
  const resources = resourceClient(world.store);
  const found = await resources.get(REF);
  if (!found.ok) throw new Error(found.error.message);
  const written = await resources.update({ ...found.value, spec: { ...found.value.spec, containerID } });
  expect(written.ok).toBe(true);
}

function countReads(world: FakeWorld): { reads: number } {
  const counted = { reads: 0 };
  const { get } = world.store;
  world.store.get = async (key) => {
    if (key.includes("/workloadendpoints/")) counted.reads++;
    return await get(key);
  };
  return counted;
}

test.for([
  { name: "as it was written", container: undefined, reads: 0, left: [] },
  { name: "changed, and still the container's", container: "c1", reads: 1, left: [] },
  { name: "a newer container's", container: "c2", reads: 1, left: ["c2"] },
])("DEL of an endpoint: $name", async ({ container, reads, left }) => {
  const world = await makeFakeWorld();
  await callPlugin(world);
  if (container !== undefined) await change(world, container);
  const counted = countReads(world);
  expect((await callPlugin(world, DEL)).exit).toBe(0);
  expect(counted.reads).toBe(reads);
  expect(endpointsOf(world).map((e) => e.spec["containerID"])).toEqual(left);
});

test("DEL of an endpoint that somebody removed: nothing is left", async () => {
  const world = await makeFakeWorld();
  await callPlugin(world);
  expect((await resourceClient(world.store).delete(REF)).ok).toBe(true);
  expect((await callPlugin(world, DEL)).exit).toBe(0);
  expect(leftIn(world)).toEqual([]);
});
