import { expect, test } from "vitest";
import type { PodOnNode } from "../domain/pod.ts";
import { makeFakeWorld } from "../testing.ts";
import { type HostLocal, type HostLocalAddress, moveFromHostLocal } from "./host-local-move.ts";

const NGINX: PodOnNode = { namespace: "default", name: "nginx", ips: ["192.200.1.2", "fd00::2"], isOver: false };

async function scene(o: { readonly held: readonly HostLocalAddress[]; readonly pods?: readonly PodOnNode[] }) {
  const world = await makeFakeWorld();
  const { ipam } = world.datastoreOf(undefined);
  const held = new Map(o.held.map((address) => [address.ip, address]));
  let retired = false;
  const hostLocal: HostLocal = {
    async leave(move) {
      const moved = await move({ list: () => [...held.values()], forget: (ip) => void held.delete(ip) });
      retired = true;
      return moved;
    },
  };
  const ports = { ipam, host: world.kernel.host(), hostLocal, podsOn: async () => o.pods ?? [NGINX], nowMs: () => 1_785_578_400_000 };
  return { world, ipam, held, move: () => moveFromHostLocal(ports, "node1"), isRetired: () => retired };
}

test("an address of a pod becomes the pod's, by the handle that DEL looks for, and can be moved again", async () => {
  const { ipam, held, move, isRetired } = await scene({ held: [{ ip: "192.200.1.2", containerId: "c2" }] });
  expect(await move()).toEqual(["moved 192.200.1.2 of default/nginx"]);
  const owner = await ipam.ownerOf("192.200.1.2");
  expect(owner.ok && owner.value).toMatchObject({
    handle: "k8s-pod-network.c2",
    attrs: { node: "node1", pod: "nginx", namespace: "default", timestamp: "2026-08-01 10:00:00.000 +0000 UTC" },
  });
  expect([held.size, isRetired()]).toEqual([0, true]);
  held.set("192.200.1.2", { ip: "192.200.1.2", containerId: "c2" }); // as if its file could not be removed
  expect(await move()).toEqual(["moved 192.200.1.2 of default/nginx"]);
});

test("an address without a pod is given up, unless a route leads to it", async () => {
  const { world, held, move, isRetired } = await scene({
    held: [
      { ip: "192.200.1.8", containerId: "c8" },
      { ip: "192.200.1.9", containerId: "c9" },
    ],
  });
  const host = world.kernel.host();
  await host.setLink("lo", { up: true });
  await host.replaceRoute({ dst: "192.200.1.9/32", type: "unicast", dev: "lo", scope: "link", protocol: 3 });
  await expect(move()).rejects.toThrow(/192\.200\.1\.9 of container c9 has a route on this node.*run this again/);
  expect([[...held.keys()], isRetired()]).toEqual([["192.200.1.9"], false]);
});

test("a pod that runs comes before one that is over; one that is over is still somebody", async () => {
  const over = { ...NGINX, name: "job", isOver: true };
  const both = await scene({ held: [{ ip: "192.200.1.2", containerId: "c2" }], pods: [over, NGINX] });
  expect(await both.move()).toEqual(["moved 192.200.1.2 of default/nginx"]);
  const one = await scene({ held: [{ ip: "192.200.1.2", containerId: "c2" }], pods: [over] });
  expect(await one.move()).toEqual(["moved 192.200.1.2 of default/job"]);
});

test.for([
  {
    name: "in no pool",
    ip: "10.9.9.9",
    want: /10\.9\.9\.9 of pod default\/nginx cannot be moved: .*not in a configured pool.*; make an IPPool/,
  },
  { name: "another's in IPAM", ip: "192.200.1.3", want: /cannot be moved: Address already assigned/ },
])("an address that is $name stays with host-local", async ({ ip, want }) => {
  const { ipam, held, move, isRetired } = await scene({ held: [{ ip, containerId: "c2" }], pods: [{ ...NGINX, ips: [ip] }] });
  expect((await ipam.assignIp({ node: "node2", ip: "192.200.1.3", handle: "other" })).ok).toBe(true);
  await expect(move()).rejects.toThrow(want);
  expect([held.size, isRetired()]).toEqual([1, false]);
});
