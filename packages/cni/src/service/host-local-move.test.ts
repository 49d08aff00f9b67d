import { putPool } from "@calico/ipam/testing";
import { keyOf } from "@calico/model";
import { expect, test } from "vitest";
import type { PodOnNode } from "../domain/pod.ts";
import { makeFakeWorld } from "../testing.ts";
import { type HostLocal, type HostLocalAddress, moveFromHostLocal } from "./host-local-move.ts";

const NGINX: PodOnNode = { namespace: "default", name: "nginx", ips: ["192.200.1.2"], isOver: false };
const NOW_MS = 1_785_578_400_000;
const OLD_MS = NOW_MS - 600_000;

/** `[address, container]` each. */
async function scene(o: {
  readonly held: readonly (readonly [string, string])[];
  readonly pods?: readonly PodOnNode[];
  readonly givenMs?: number;
}) {
  const world = await makeFakeWorld();
  const held = new Map<string, HostLocalAddress>(
    o.held.map(([ip, containerId]) => [ip, { ip, containerId, givenMs: o.givenMs ?? OLD_MS }]),
  );
  const state = { isRetired: false };
  const hostLocal: HostLocal = {
    open: async () => ({
      list: () => [...held.values()],
      async retire(check) {
        if (!state.isRetired) await check();
        state.isRetired = true;
      },
      forget(ip) {
        if (!state.isRetired) throw new Error("host-local could give it again");
        held.delete(ip);
      },
      [Symbol.asyncDispose]: async () => {},
    }),
  };
  const said: string[] = [];
  const datastore = world.datastoreOf(undefined);
  const host = world.kernel.host();
  await host.setLink("lo", { up: true });
  const ports = { datastore: () => datastore, host, hostLocal, podsOn: async () => o.pods ?? [NGINX], nowMs: () => NOW_MS };
  const route = (dst: string) => host.replaceRoute({ dst, type: "unicast", dev: "lo", scope: "link", protocol: 3 });
  return {
    world,
    ipam: datastore.ipam,
    held,
    said,
    state,
    route,
    move: () => moveFromHostLocal(ports, { node: "node1", say: (what) => said.push(what) }),
  };
}

test("an address of a pod becomes the pod's, by the handle that DEL looks for, and can be moved again", async () => {
  const { ipam, held, move, said } = await scene({ held: [["192.200.1.2", "c2"]] });
  await move();
  const owner = await ipam.ownerOf("192.200.1.2");
  expect(owner.ok && owner.value).toMatchObject({
    handle: "k8s-pod-network.c2",
    attrs: { node: "node1", pod: "nginx", namespace: "default", timestamp: "2026-08-01 10:00:00.000 +0000 UTC" },
  });
  expect(held.size).toBe(0);
  held.set("192.200.1.2", { ip: "192.200.1.2", containerId: "c2", givenMs: OLD_MS }); // as if ended before its file was gone
  await move();
  expect(said).toEqual(Array(2).fill("moved 192.200.1.2 of default/nginx"));
});

test("the endpoint that names the container tells whose an address is, before any pod's status", async () => {
  const { world, move, said } = await scene({ held: [["192.200.1.2", "c7"]], pods: [{ ...NGINX, name: "stale" }] });
  const name = "node1-k8s-web-eth0";
  const spec = {
    orchestrator: "k8s",
    node: "node1",
    pod: "web",
    endpoint: "eth0",
    containerID: "c7",
    interfaceName: "cali1",
    ipNetworks: ["192.200.1.2/32"],
  };
  const endpoint = { kind: "WorkloadEndpoint", apiVersion: "projectcalico.org/v3", metadata: { name, namespace: "shop" }, spec };
  await world.store.put(keyOf({ kind: "WorkloadEndpoint", namespace: "shop", name }), JSON.stringify(endpoint));
  await move();
  expect(said).toEqual(["moved 192.200.1.2 of shop/web"]);
});

test.for([
  { name: "with a route, and a pod that is over", route: true, pods: [{ ...NGINX, isOver: true }], want: /has a route on this node/ },
  {
    name: "with a route, and no pod",
    route: true,
    pods: [],
    want: /192\.200\.1\.2 of container c2 has a route on this node.*nothing was changed/,
  },
  { name: "given just now", pods: [], givenMs: NOW_MS - 20_000, want: /was given to container c2 only 20 s ago/ },
  { name: "given just now, with a pod whose status may be of before", givenMs: NOW_MS - 20_000, want: /only 20 s ago, and no endpoint/ },
  { name: "of no container, that a pod has", container: "", want: /of an unnamed container is pod default\/nginx's: end what has it/ },
  { name: "of no container, with a route", route: true, container: "", pods: [], want: /of an unnamed container has a route/ },
])("an address $name may be somebody's: nothing is changed", async ({ route, pods, givenMs, container = "c2", want }) => {
  const s = await scene({ held: [["192.200.1.2", container]], ...(pods && { pods }), ...(givenMs && { givenMs }) });
  if (route) await s.route("192.200.1.2/32");
  await expect(s.move()).rejects.toThrow(want);
  expect([s.held.size, s.state.isRetired, s.said]).toEqual([1, false, []]);
});

test("a time to come, of a clock that was wrong, is not just now", async () => {
  const { move, said } = await scene({ held: [["192.200.1.2", "c2"]], givenMs: NOW_MS + 1e10 });
  await move();
  expect(said).toEqual(["moved 192.200.1.2 of default/nginx"]);
});

test("an address without a pod, an endpoint and a route is given up, of an unnamed container too", async () => {
  const { ipam, move, said } = await scene({
    held: [
      ["192.200.1.2", ""],
      ["192.200.1.8", "c8"],
    ],
    pods: [],
  });
  await move();
  expect(said).toEqual(["192.200.1.2", "192.200.1.8"].map((ip) => `gave up ${ip}: no pod, no endpoint and no route`));
  expect((await ipam.ownerOf("192.200.1.2")).ok).toBe(false);
});

test.for([
  { name: "in no pool", ip: "10.9.9.9", want: /10\.9\.9\.9 of default\/nginx is in no IPPool for pods: make one/ },
  { name: "another's in IPAM", ip: "192.200.1.3", want: /192\.200\.1\.3 of default\/nginx is already assigned, to other/ },
])("one address that is $name: all stay with host-local, and IPAM hears of none", async ({ ip, want }) => {
  const pods = [NGINX, { ...NGINX, ips: [ip] }];
  const { ipam, held, move, state } = await scene({ held: [["192.200.1.2", "c1"], [ip, "c2"]], pods }); // prettier-ignore
  expect((await ipam.assignIp({ node: "node2", ip: "192.200.1.3", handle: "other" })).ok).toBe(true);
  await expect(move()).rejects.toThrow(want);
  expect([held.size, state.isRetired, (await ipam.ownerOf("192.200.1.2")).ok]).toEqual([2, false, false]);
});

test("after host-local refuses: what cannot be moved is kept and told, the rest is moved; the next call goes on", async () => {
  const pods = [NGINX];
  const { held, move, state, said } = await scene({ held: [["192.200.1.2", "c1"]], pods });
  state.isRetired = true;
  held.set("192.200.1.5", { ip: "192.200.1.5", containerId: "late", givenMs: NOW_MS - 1000 });
  await expect(move()).rejects.toThrow(
    /192\.200\.1\.5 was given to container late only 1 s ago.*host-local refuses the network; run this again/,
  );
  expect([...held.keys(), ...said]).toEqual(["192.200.1.5", "moved 192.200.1.2 of default/nginx"]);
  pods.push({ ...NGINX, name: "late", ips: ["192.200.1.5"] });
  held.set("192.200.1.5", { ip: "192.200.1.5", containerId: "late", givenMs: OLD_MS });
  await move();
  expect([held.size, said.at(-1)]).toEqual([0, "moved 192.200.1.5 of default/late"]);
});

test("an IPv6 address is the same however it is written", async () => {
  const { world, move, said } = await scene({ held: [["fd00::2", "c6"]], pods: [{ ...NGINX, ips: ["FD00:0:0::0002"] }] });
  await putPool(world.store, "six", { cidr: "fd00::/64", blockSize: 122 });
  await move();
  expect(said).toEqual(["moved fd00::2 of default/nginx"]);
});
