import { makeFakeNetlink } from "@calico/linux/testing";
import { describe, expect, test } from "vitest";
import { resolveNextHop } from "../domain/kernel/next-hop.ts";
import type { KernelChange } from "../ports.ts";
import { routeKernelContract } from "../testing/route-kernel.contract.ts";
import { netlinkKernel } from "./kernel.ts";

async function open() {
  const netlink = makeFakeNetlink();
  await netlink.addLink({ kind: "veth", name: "eth0", up: true, peer: { name: "far0" } });
  await netlink.replaceAddress("eth0", "192.168.81.101/24");
  return {
    netlink,
    kernel: netlinkKernel(netlink),
    addForeign: (dst: string) => netlink.replaceRoute({ dst, type: "blackhole", protocol: 4 }),
    foreign: async () => (await netlink.routes()).filter((route) => route.protocol !== 179).map((route) => route.dst),
  };
}

describe("netlink", () => routeKernelContract(open));

test("netlinkKernel.read: next hops are where addresses and others' routes say", async () => {
  const { netlink, kernel } = await open();
  await netlink.replaceRoute({ dst: "192.168.82.0/24", type: "unicast", via: "192.168.81.1", dev: "eth0", protocol: 4 });
  const { reach } = await kernel.read();
  expect(resolveNextHop("192.168.81.102", reach)).toEqual({ via: "192.168.81.102", dev: "eth0" });
  expect(resolveNextHop("192.168.82.7", reach)).toEqual({ via: "192.168.81.1", dev: "eth0" });
  expect(reach.ownAddresses).toContain("192.168.81.101");
});

test("netlinkKernel.changes: pods' routes say nothing, lost routes of ours and changed links do", async () => {
  const { netlink, kernel } = await open();
  await netlink.addLink({ kind: "veth", name: "cali1", up: true, peer: { name: "pod0" } });
  await netlink.replaceRoute({ dst: "192.200.59.192/26", type: "blackhole", protocol: 179 });
  const life = new AbortController();
  const changes = kernel.changes(life.signal)[Symbol.asyncIterator]();
  const next = async (): Promise<KernelChange | undefined> => {
    const result = await changes.next();
    return result.done ? undefined : result.value;
  };
  const first = next();
  await netlink.replaceRoute({ dst: "192.200.59.193/32", type: "unicast", dev: "cali1", scope: "link", protocol: 3 });
  expect(await first).toEqual({ view: false, gone: [] });
  const second = next();
  await netlink.deleteRoute({ dst: "192.200.59.192/26", protocol: 179 });
  expect(await second).toEqual({ view: false, gone: ["192.200.59.192/26"] });
  const third = next();
  await netlink.replaceAddress("eth0", "192.168.90.1/24");
  expect((await third)?.view).toBe(true);
  life.abort();
});
