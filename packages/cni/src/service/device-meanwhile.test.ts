/** The device is made while the address is on its way: what holds when the address does not come. */
import { addFakeNetns, OWN_NETNS } from "@calico/linux/testing";
import { expect, test } from "vitest";
import { callPlugin, endpointsOf, leftIn, makeFakeWorld } from "../testing.ts";
import type { FakeWorld } from "../testing.ts";

const DELEGATED = { ipam: { type: "host-local", subnet: "10.65.3.0/24" } };

const devicesOf = (world: FakeWorld) =>
  [...world.fakeKernel.namespaces]
    .flatMap(([path, { links }]) => links.filter((l) => l.name !== "lo").map((l) => `${l.name} ${path}`))
    .sort();
const pairIn = (netns: string) => [`calic440f455693 ${OWN_NETNS}`, `eth0 ${netns}`];

/** An IPAM plugin whose ADD does `meanwhile`, long after the device may be made, and then has no address. */
function refuseAddress(world: FakeWorld, meanwhile: () => Promise<void> | void): string[][] {
  const atRelease: string[][] = [];
  world.execPlugin = async ({ call }) => {
    if (call.command === "DEL") {
      atRelease.push(devicesOf(world));
      return { exit: 0, stdout: "" };
    }
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
    await meanwhile();
    return { exit: 1, stdout: '{"code":101,"msg":"no address is left"}' };
  };
  return atRelease;
}

test("no address: the device made meanwhile is gone before the address is given back", async () => {
  const world = await makeFakeWorld();
  let meanwhile: string[] = [];
  const atRelease = refuseAddress(world, () => void (meanwhile = devicesOf(world)));
  expect((await callPlugin(world, { conf: DELEGATED })).json.code).toBe(101);
  expect(meanwhile).toEqual(pairIn("/run/netns/pod1"));
  expect(atRelease).toEqual([[]]);
  expect(leftIn(world)).toEqual([]);
});

test("no address: the device that the pod's living sandbox has stays", async () => {
  const world = await makeFakeWorld();
  addFakeNetns(world.fakeKernel, "/run/netns/pod2");
  await callPlugin(world);
  const atRelease = refuseAddress(world, () => expect(devicesOf(world)).toEqual(pairIn("/run/netns/pod1")));
  const env = { CNI_CONTAINERID: "c2", CNI_NETNS: "/run/netns/pod2" };
  expect((await callPlugin(world, { env, conf: DELEGATED })).json.code).toBe(101);
  expect(atRelease).toEqual([pairIn("/run/netns/pod1")]);
  expect(endpointsOf(world).map((e) => e.spec["containerID"])).toEqual(["c1"]);
});

test("no address: a newer sandbox's device, by then of the same name, stays", async () => {
  const world = await makeFakeWorld();
  addFakeNetns(world.fakeKernel, "/run/netns/pod2");
  const env = { CNI_CONTAINERID: "c2", CNI_NETNS: "/run/netns/pod2" };
  refuseAddress(world, async () => expect((await callPlugin(world, { env })).exit).toBe(0));
  expect((await callPlugin(world, { conf: DELEGATED })).json.code).toBe(101);
  expect(devicesOf(world)).toEqual(pairIn("/run/netns/pod2"));
  expect(endpointsOf(world).map((e) => e.spec["containerID"])).toEqual(["c2"]);
});

test("a refused configuration makes no device", async () => {
  const world = await makeFakeWorld();
  expect((await callPlugin(world, { conf: { ipam: { type: "dhcp" } } })).json.code).toBe(2);
  expect(world.fakeKernel.recorded).toEqual([]);
});
