import { expect, test } from "vitest";
import { aNetconf, makeFakeWorld } from "../testing.ts";
import { answerFlag } from "./flags.ts";
import type { FlagCall } from "./flags.ts";
import type { HostLocal } from "./host-local-move.ts";

/** `[address, container]` each. */
function hostLocalOf(held: readonly (readonly [string, string])[]): HostLocal {
  return {
    open: async () => ({
      list: () => held.map(([ip, containerId]) => ({ ip, containerId, givenMs: 0 })),
      retire: (check) => check(),
      forget() {},
      [Symbol.asyncDispose]: async () => {},
    }),
  };
}

const call: FlagCall = {
  plugin: "calico",
  flag: "-t",
  readStdin: async () => aNetconf(),
  env: { KUBERNETES_NODE_NAME: "node1" },
  hostLocal: hostLocalOf([]),
  podsOn: async () => [],
};

test.for<{ name: string; call: Partial<FlagCall>; want: RegExp }>([
  { name: "-v", call: { flag: "-v" }, want: /^0 \d+\.\d+\.\d+\n/ },
  { name: "--help", call: { flag: "--help" }, want: /^0 Usage/ },
  { name: "-t, a datastore that can be worked on", call: {}, want: /^0 $/ },
  { name: "-t is the main plugin's", call: { plugin: "calico-ipam" }, want: /^2 calico-ipam: unknown flag -t\nUsage/ },
  { name: "-t, no configuration", call: { readStdin: async () => "" }, want: /^1 \{"cniVersion":"1.1.0","code":100,.*JSON/ },
  {
    name: "-upgrade, nothing of host-local",
    call: { plugin: "calico-ipam", flag: "-upgrade" },
    want: /^0 .*node1 has no addresses of host-local, and host-local refuses the network\n$/,
  },
  {
    name: "-upgrade, pods with addresses of host-local",
    call: {
      ...{ plugin: "calico-ipam", flag: "-upgrade", hostLocal: hostLocalOf([["192.200.0.2", "c2"]]) },
      podsOn: async () => [{ namespace: "default", name: "nginx", ips: ["192.200.0.2"], isOver: false }],
    },
    want: /^0 calico-ipam -upgrade: moved 192.200.0.2 of default\/nginx\n.*node1 has no addresses of host-local, .*\n$/,
  },
  {
    name: "-upgrade, the API server is away",
    call: {
      ...{ plugin: "calico-ipam", flag: "-upgrade", hostLocal: hostLocalOf([["192.200.0.2", "c2"]]) },
      podsOn: () => Promise.reject(new Error("Cannot list pods: connect ECONNREFUSED")),
    },
    want: /^1 calico-ipam -upgrade: Cannot list pods: connect ECONNREFUSED\n$/,
  },
  {
    name: "-upgrade, no node's name",
    call: { plugin: "calico-ipam", flag: "-upgrade", env: {} },
    want: /^1 .*KUBERNETES_NODE_NAME is not set/,
  },
  { name: "-upgrade is calico-ipam's", call: { flag: "-upgrade" }, want: /^2 calico: unknown flag/ },
])("answerFlag: $name", async ({ call: changed, want }) => {
  const { exit, stdout = "", stderr = "" } = await answerFlag(await makeFakeWorld(), { ...call, ...changed });
  expect(`${exit} ${stdout}${stderr}`).toMatch(want);
});

test("answerFlag: -t, a datastore that is being migrated is code 100, as in Calico", async () => {
  const world = await makeFakeWorld();
  const key = "/calico/resources/v3/projectcalico.org/clusterinformations/default";
  const info = JSON.parse((await world.store.get(key))!.value);
  await world.store.put(key, JSON.stringify({ ...info, spec: { ...info.spec, datastoreReady: false } }));
  const { exit, stdout = "" } = await answerFlag(world, call);
  expect(exit).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ cniVersion: "0.3.0", code: 100, details: expect.stringContaining("datastoreReady: false") });
});
