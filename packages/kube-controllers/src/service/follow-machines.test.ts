import { recordingLogger } from "@calico/daemon/testing";
import { KubeError, RESOURCES } from "@calico/kube-client";
import { fakeApi } from "@calico/kube-client/testing";
import { expect, test, vi } from "vitest";
import type { ControllerPorts } from "../ports.ts";
import { followMachines } from "./follow-machines.ts";

function world(o: { hasMachines: boolean }) {
  const api = fakeApi();
  const log = recordingLogger();
  const stop = new AbortController();
  const machines = new Map<string, boolean>();
  const told = { areKnown: false, hasMachines: o.hasMachines, machines };
  const audit = {
    hasMachines: () => told.hasMachines,
    setMachine: (name: string, { kind, isThere }: { kind: string; isThere: boolean }) => void machines.set(`${kind} ${name}`, isThere),
    setMachinesKnown: (areKnown: boolean) => void (told.areKnown = areKnown),
  };
  const ports = { kube: api, log, metrics: { inc: () => {}, set: () => {} }, signal: stop.signal } as unknown as ControllerPorts;
  const run = () => followMachines(ports, audit);
  return { api, log, stop, told, run };
}

test("followMachines: nobody is asked before an address is a machine's; then both kinds are followed", async () => {
  vi.useFakeTimers();
  const w = world({ hasMachines: false });
  const running = w.run();
  await vi.advanceTimersByTimeAsync(5000);
  expect(w.api.calls).toEqual([]);
  w.api.set(RESOURCES.virtualMachines, { metadata: { name: "vm1", namespace: "d" } });
  w.told.hasMachines = true;
  await vi.advanceTimersByTimeAsync(2000);
  expect(w.told).toMatchObject({ areKnown: true });
  w.api.remove(RESOURCES.virtualMachines, "d/vm1");
  await vi.advanceTimersByTimeAsync(100);
  expect([...w.told.machines]).toEqual([["VirtualMachine d/vm1", false]]);
  w.stop.abort();
  await vi.advanceTimersByTimeAsync(100);
  await running;
  vi.useRealTimers();
});

test("followMachines: an API without virtual machines is asked again each minute, and told of once for each kind", async () => {
  vi.useFakeTimers();
  const w = world({ hasMachines: true });
  const list = w.api.list;
  let asked = 0;
  let isInstalled = false;
  w.api.list = async (type, o) => {
    asked++;
    if (!isInstalled) throw new KubeError("list", { code: 404, reason: "NotFound", message: "no such kind" });
    return await list(type, o);
  };
  const running = w.run();
  await vi.advanceTimersByTimeAsync(180_500);
  expect([asked, w.told.areKnown]).toEqual([8, false]);
  expect(w.log.lines.map((l) => l.message)).toEqual(Array(2).fill("virtual machines not seen, their addresses are not judged"));
  isInstalled = true;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(w.told.areKnown).toBe(true);
  w.stop.abort();
  await vi.advanceTimersByTimeAsync(100);
  await running;
  vi.useRealTimers();
});
