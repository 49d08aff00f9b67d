import { expect, test } from "vitest";
import { parseResult, renderResult } from "./result.ts";
import { SUPPORTED_VERSIONS } from "./version.ts";

const RESULT = {
  interfaces: [{ name: "cali1" }, { name: "eth0", mac: "02:00:00:00:00:01", mtu: 1440, sandbox: "/run/netns/p" }],
  ips: [
    { address: "10.0.0.1/32", interface: 1 },
    { address: "fd00::1/128", interface: 1 },
  ],
  routes: [{ dst: "10.0.0.1/32" }],
  dns: { nameservers: ["10.96.0.10"] },
};

const LEGACY = {
  ip4: { ip: "10.0.0.1/32", routes: [{ dst: "10.0.0.1/32" }] },
  ip6: { ip: "fd00::1/128" },
  dns: RESULT.dns,
};
const WITHOUT_MTU = [{ name: "cali1" }, { name: "eth0", mac: "02:00:00:00:00:01", sandbox: "/run/netns/p" }];
const VERSIONED = [
  { version: "4", address: "10.0.0.1/32", interface: 1 },
  { version: "6", address: "fd00::1/128", interface: 1 },
];
const MIDDLE = { interfaces: WITHOUT_MTU, ips: VERSIONED, routes: RESULT.routes, dns: RESULT.dns };

/** What each version of the spec says a result looks like. */
const GOLDEN: Readonly<Record<(typeof SUPPORTED_VERSIONS)[number], object>> = {
  "0.1.0": LEGACY,
  "0.2.0": LEGACY,
  "0.3.0": MIDDLE,
  "0.3.1": MIDDLE,
  "0.4.0": MIDDLE,
  "1.0.0": RESULT,
  "1.1.0": RESULT,
};

test.for([...SUPPORTED_VERSIONS])("renderResult: %s", (cniVersion) => {
  expect(renderResult(RESULT, cniVersion)).toEqual({ cniVersion, ...GOLDEN[cniVersion] });
});

test.for([...SUPPORTED_VERSIONS])("parseResult: what %s prints is read back, as far as that version can say it", (cniVersion) => {
  const back = parseResult(JSON.parse(JSON.stringify(renderResult(RESULT, cniVersion))));
  expect(back.ips.map((i) => i.address)).toEqual(RESULT.ips.map((i) => i.address));
  expect(renderResult(back, cniVersion)).toEqual({ cniVersion, ...GOLDEN[cniVersion] });
});

test.for(["0.1.0", "0.2.0"] as const)("renderResult: %s has the address alone, whatever its block's mask", (cniVersion) => {
  const ips = [{ address: "10.0.0.1/26" }, { address: "fd00::1/122" }];
  expect(renderResult({ interfaces: [], ips, routes: [] }, cniVersion)).toMatchObject({
    ip4: { ip: "10.0.0.1/32" },
    ip6: { ip: "fd00::1/128" },
  });
});
