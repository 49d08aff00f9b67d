import { expect, test } from "vitest";
import { aNetconf, callPlugin, makeFakeWorld } from "../testing.ts";
import { parseNetconf } from "./netconf.ts";

test("parseNetconf: a field that is null is one that is not there; other plugins get it as it came", () => {
  const nulls = {
    cniVersion: null,
    mtu: null,
    log_level: null,
    policy: { type: null },
    ipam: { type: "calico-ipam", ranges: [[{ subnet: null }]] },
  };
  const conf = parseNetconf(aNetconf({ ...nulls, prevResult: null, "cni.dev/valid-attachments": null }));
  expect(conf).toMatchObject({ cniVersion: "0.2.0", policy: {}, ipam: { type: "calico-ipam", ranges: [[{}]] } });
  expect([conf.mtu, conf.prevResult, conf["cni.dev/valid-attachments"]]).toEqual([undefined, undefined, undefined]);
  expect(conf.raw["mtu"]).toBeNull();
});

test.for([
  { field: { name: null }, want: /^invalid network configuration: name: / },
  { field: { policy_setup_timeout_seconds: -3 }, want: /policy_setup_timeout_seconds: invalid pod startup delay of -3$/ },
  { field: { device_type: "foo" }, want: /device_type: expected veth$/ },
])("parseNetconf: $field is refused", ({ field, want }) => {
  expect(() => parseNetconf(aNetconf(field))).toThrow(want);
});

test("device_type netkit: the pod gets veth, and the log says so", async () => {
  const world = await makeFakeWorld();
  expect((await callPlugin(world, { conf: { device_type: "netkit" } })).exit).toBe(0);
  expect(world.lines.map((l) => l.message)).toContain("netkit is not supported, veth is used");
});
