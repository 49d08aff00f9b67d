/** What every RouteKernel does: run on the fake and on the netlink adapter. */
import { expect, test } from "vitest";
import type { KernelRoute } from "../domain/kernel/desire.ts";
import type { RouteKernel } from "../ports.ts";

/** `open` gives a kernel with a device eth0 of address 192.168.81.101/24, and a way to put a foreign route. */
export function routeKernelContract(
  open: () => Promise<{ kernel: RouteKernel; addForeign: (dst: string) => Promise<void>; foreign: () => Promise<readonly string[]> }>,
): void {
  const blackhole: KernelRoute = { dst: "192.200.59.192/26", type: "blackhole" };
  const unicast: KernelRoute = { dst: "192.200.203.0/26", type: "unicast", hops: [{ via: "192.168.81.102", dev: "eth0" }] };
  const onlink: KernelRoute = { dst: "192.200.203.0/26", type: "unicast", hops: [{ via: "10.9.9.9", dev: "eth0", onlink: true }] };
  const twoWays: KernelRoute = {
    dst: "192.200.7.0/26",
    type: "unicast",
    hops: [
      { via: "192.168.81.102", dev: "eth0" },
      { via: "192.168.81.103", dev: "eth0" },
    ],
  };
  const own = async (kernel: RouteKernel) => (await kernel.read()).own.toSorted((a, b) => (a.dst < b.dst ? -1 : 1));

  test("what is added is read back", async () => {
    const { kernel } = await open();
    const outcomes = await kernel.apply([blackhole, unicast, twoWays].map((route) => ({ do: "add" as const, route })));
    expect(outcomes).toEqual([{ kind: "done" }, { kind: "done" }, { kind: "done" }]);
    expect(await own(kernel)).toEqual([unicast, blackhole, twoWays].toSorted((a, b) => (a.dst < b.dst ? -1 : 1)));
  });

  test("replace changes, delete removes", async () => {
    const { kernel } = await open();
    await kernel.apply([{ do: "add", route: unicast }]);
    expect(await kernel.apply([{ do: "replace", route: onlink }])).toEqual([{ kind: "done" }]);
    expect(await own(kernel)).toEqual([onlink]);
    expect(await kernel.apply([{ do: "delete", route: onlink }])).toEqual([{ kind: "done" }]);
    expect(await own(kernel)).toEqual([]);
  });

  test("add leaves another's route where it is", async () => {
    const { kernel, addForeign, foreign } = await open();
    await addForeign(unicast.dst);
    expect(await kernel.apply([{ do: "add", route: unicast }])).toEqual([{ kind: "exists" }]);
    expect(await own(kernel)).toEqual([]);
    expect(await foreign()).toContain(unicast.dst);
  });

  test("one route that fails does not keep the others back", async () => {
    const { kernel } = await open();
    const nowhere: KernelRoute = { dst: "192.200.1.0/26", type: "unicast", hops: [{ via: "192.168.81.102", dev: "gone0" }] };
    const outcomes = await kernel.apply([
      { do: "add", route: nowhere },
      { do: "add", route: blackhole },
    ]);
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(["failed", "done"]);
  });
}
