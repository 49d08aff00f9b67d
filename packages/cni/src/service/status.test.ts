import { keyOf } from "@calico/model";
import { expect, test } from "vitest";
import { callPlugin, makeFakeWorld } from "../testing.ts";
import type { FakeWorld } from "../testing.ts";

const status = async (w: FakeWorld, conf: object = {}, plugin: "calico" | "calico-ipam" = "calico") => {
  const { exit, json } = await callPlugin(w, { plugin, env: { CNI_COMMAND: "STATUS" }, conf: { cniVersion: "1.1.0", ...conf } });
  return exit === 0 ? "fine" : `${json.code} ${json.details}`;
};

async function world(spec: object | undefined): Promise<FakeWorld> {
  const w = await makeFakeWorld();
  w.present.set("/var/run/calico/endpoint-status", "");
  const key = keyOf({ kind: "IPPool", name: "p" });
  const json = JSON.parse((await w.store.get(key))!.value);
  if (spec === undefined) await w.store.delete(key);
  else await w.store.put(key, JSON.stringify({ ...json, spec: { ...json.spec, ...spec } }));
  return w;
}

const ipam = (o: object) => ({ ipam: { type: "calico-ipam", ...o } });

test.for<{ name: string; pool: object | undefined; conf?: object; want: string | RegExp }>([
  { name: "a pool", pool: {}, want: "fine" },
  { name: "no pool", pool: undefined, want: /^50 no IPv4 address can be given: no configured Calico pools/ },
  { name: "a disabled pool", pool: { disabled: true }, want: /^50 no IPv4 address/ },
  { name: "a pool for tunnels alone", pool: { allowedUses: ["Tunnel"] }, want: /^50 no IPv4 address/ },
  { name: "a pool whose node labels may come yet", pool: { nodeSelector: "rack == '1'" }, want: "fine" },
  { name: "a pool whose namespace may come yet", pool: { namespaceSelector: "team == 'a'" }, want: "fine" },
  { name: "a family without a pool", pool: {}, conf: ipam({ assign_ipv6: "true" }), want: /^50 no IPv6 address/ },
  { name: "a pool by its name", pool: {}, conf: ipam({ ipv4_pools: ["p"] }), want: "fine" },
  { name: "a pool by another name", pool: {}, conf: ipam({ ipv4_pools: ["q"] }), want: /^50 error parsing pool "q"/ },
  { name: "a pool by another CIDR", pool: {}, conf: ipam({ ipv4_pools: ["10.1.0.0/16"] }), want: /^50 no IPv4 .*does not exist/ },
  { name: "dhcp", pool: {}, conf: { ipam: { type: "dhcp" } }, want: /^50 unsupported ipam\.type: dhcp$|^50 / },
])("STATUS: $name", async ({ pool, conf, want }) => {
  const w = await world(pool);
  expect(await status(w, conf)).toMatch(want);
  expect(await status(w, conf, "calico-ipam")).toMatch(want);
});

test("STATUS: another IPAM plugin is asked, and what it says counts", async () => {
  const w = await world({});
  const asked: string[] = [];
  const answers = [
    { exit: 0, stdout: "" },
    { exit: 1, stdout: '{"code":50,"msg":"no range"}' },
  ];
  w.execPlugin = async ({ type, call }) => {
    asked.push(`${type} ${call.command}`);
    return answers.shift()!;
  };
  w.podCidrsOf = () => Promise.reject(new Error("no API server is needed"));
  const conf = { ipam: { type: "host-local", subnet: "usePodCidr" } };
  expect(await status(w, conf)).toBe("fine");
  expect(await status(w, conf)).toBe("50 IPAM plugin host-local failed (STATUS): no range");
  expect(asked).toEqual(["host-local STATUS", "host-local STATUS"]);
});
