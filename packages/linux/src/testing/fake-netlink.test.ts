import { expect, test } from "vitest";
import { netlinkContract } from "../../test/contract/netlink.ts";
import { makeFakeKernel } from "./fake-kernel.ts";
import { makeFakeNetlink } from "./fake-netlink.ts";

netlinkContract("fake netlink", {
  async open() {
    const otherPath = "/run/netns/other";
    const kernel = makeFakeKernel({ netns: [otherPath] });
    return { nl: makeFakeNetlink({ kernel }), other: makeFakeNetlink({ kernel, netnsPath: otherPath }), otherPath, close: async () => {} };
  },
});

test("fake netlink: records every change and refuses the next one when told", async () => {
  const nl = makeFakeNetlink();
  nl.failNext("EBUSY", (op) => op.do === "addRoute");
  const route = { dst: "10.0.0.0/26", type: "blackhole", protocol: 179 } as const;
  const results = await nl.apply([
    { do: "replaceRoute", route },
    { do: "addRoute", route: { ...route, dst: "10.0.1.0/26" } },
    { do: "addRoute", route: { ...route, dst: "10.0.1.0/26" } },
  ]);
  expect(results.map((r) => (r.ok ? "ok" : r.error.code))).toEqual(["ok", "EBUSY", "ok"]);
  expect(nl.recorded.map((op) => op.do)).toEqual(["replaceRoute", "addRoute", "addRoute"]);
});

test("fake netlink: without ipip in the kernel a tunnel is refused", async () => {
  const nl = makeFakeNetlink({ kernel: makeFakeKernel({ kinds: ["veth"] }) });
  await expect(nl.addLink({ kind: "ipip", name: "tunl0" })).rejects.toMatchObject({ code: "EOPNOTSUPP" });
});
