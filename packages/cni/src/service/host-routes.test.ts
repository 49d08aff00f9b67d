import { makeFakeNetlink } from "@calico/linux/testing";
import { expect, test } from "vitest";
import { addHostRoutes } from "./host-routes.ts";

const DST = "192.200.8.128/32";

async function aHost() {
  const host = makeFakeNetlink();
  for (const name of ["cali1", "br0"]) await host.addLink({ kind: "bridge", name, up: true });
  return host;
}

test.for([0, 1024])("addHostRoutes: a route of metric %i that another device has is an error that names it", async (metric) => {
  const host = await aHost();
  await host.replaceRoute({ dst: DST, type: "unicast", dev: "br0", scope: "link", protocol: 3, metric });
  const pauses: number[] = [];
  const clock = { now: () => 0, pause: async (ms: number) => void pauses.push(ms) };
  const index = (await host.link("br0"))?.index;
  await expect(addHostRoutes({ host, clock }, { addresses: [DST], hostName: "cali1" })).rejects.toMatchObject({
    code: 102,
    message: `cannot add the host route to ${DST}`,
    details: expect.stringMatching(
      new RegExp(
        `^route \\(Ifindex: ${index}, Dst: ${DST}, Scope: link\\) already exists for an interface other than 'cali1': it is over br0`,
      ),
    ),
  });
  expect((await host.routes({ family: 4 })).map((r) => r.dev)).toEqual(["br0"]);
  expect(pauses.length).toBeGreaterThan(0);
});

test("addHostRoutes: the route of a device that is being taken away is waited out", async () => {
  const host = await aHost();
  await host.replaceRoute({ dst: DST, type: "unicast", dev: "br0", scope: "link", protocol: 3, metric: 1024 });
  const clock = { now: () => 0, pause: () => host.deleteLink("br0") };
  await addHostRoutes({ host, clock }, { addresses: [DST], hostName: "cali1" });
  expect((await host.routes({ family: 4 })).map((r) => `${r.dev} ${r.metric}`)).toEqual(["cali1 1024"]);
});

test("addHostRoutes: its own route that is there already, and wider ones, are fine", async () => {
  const host = await aHost();
  await host.replaceRoute({ dst: "192.200.8.128/26", type: "blackhole", protocol: 179 });
  await host.replaceRoute({ dst: "0.0.0.0/0", type: "unicast", dev: "br0", scope: "link", protocol: 3 });
  const clock = { now: () => 0, pause: () => Promise.reject(new Error("nothing to wait for")) };
  for (let i = 0; i < 2; i++) await addHostRoutes({ host, clock }, { addresses: [DST], hostName: "cali1" });
  expect((await host.routeTo("192.200.8.128"))?.dev).toBe("cali1");
});
