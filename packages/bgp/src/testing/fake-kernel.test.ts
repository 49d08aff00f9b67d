import { describe } from "vitest";
import { makeFakeRouteKernel } from "./fake-kernel.ts";
import { routeKernelContract } from "./route-kernel.contract.ts";

describe("fake", () =>
  routeKernelContract(async () => {
    const kernel = makeFakeRouteKernel();
    return { kernel, addForeign: async (dst) => void kernel.foreign.add(dst), foreign: async () => [...kernel.foreign] };
  }));
