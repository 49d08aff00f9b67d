/**
 * Captures what this kernel says to dump requests, with `ip`'s reading of the same objects beside it: test/golden/kernel.json. Run as root
 * (setup/run.sh packages/linux/test/golden/capture.ts) when the codec learns of a new object; read the `ip` column, then fill in the table of golden.test.ts.
 */
import { writeFileSync } from "node:fs";
import { createNetns, deleteNetns, netnsPath, runOrThrow, withNetns } from "../../src/mod.ts";
import { openNetlinkSocket } from "../../src/adapter/netlink-socket.ts";
import { encodeGetAddresses } from "../../src/domain/address.ts";
import { encodeGetLinks } from "../../src/domain/link.ts";
import { encodeGetFdb, encodeGetNeighbours } from "../../src/domain/neighbour.ts";
import { encodeGetRoutes } from "../../src/domain/route.ts";
import { encodeGetRules } from "../../src/domain/rule.ts";

const name = `linux-golden-${process.pid}`;
const ip = (...words: string[]) => runOrThrow(["ip", "-n", name, ...words], {});
await createNetns(name);
try {
  await ip("link", "add", "cali0", "address", "ee:ee:ee:ee:ee:ee", "mtu", "1450", "type", "veth", "peer", "name", "eth0");
  await ip("link", "set", "cali0", "up");
  await ip("link", "set", "eth0", "up");
  await ip("link", "add", "vxlan.calico", "type", "vxlan", "id", "4096", "dstport", "4789", "local", "10.0.0.1", "nolearning");
  await ip("link", "set", "vxlan.calico", "address", "66:00:00:00:00:01", "up");
  await ip("addr", "add", "10.0.0.1/24", "dev", "cali0");
  await ip("addr", "add", "fd00::1/64", "dev", "cali0", "nodad");
  await ip("route", "add", "blackhole", "192.200.59.192/26", "proto", "179");
  await ip("route", "add", "192.200.59.193", "dev", "cali0", "scope", "link", "metric", "1024");
  await ip("route", "add", "192.200.203.0/26", "via", "192.168.81.102", "dev", "cali0", "proto", "179", "onlink");
  await ip("route", "add", "10.8.0.0/16", "table", "1000", "mtu", "1400", "nexthop", "via", "10.0.0.7", "dev", "cali0", "nexthop", "via", "10.0.0.8", "dev", "cali0", "weight", "3");
  await ip("route", "add", "10.9.0.0/16", "via", "inet6", "fe80::9", "dev", "cali0", "src", "10.0.0.1");
  await ip("route", "add", "throw", "10.10.0.0/16", "table", "5");
  await ip("-6", "route", "add", "blackhole", "fd00:1::/122", "proto", "179");
  await ip("-6", "route", "add", "fd00:2::5", "via", "fe80::1", "dev", "cali0");
  await ip("neigh", "add", "10.0.0.2", "lladdr", "ee:ee:ee:ee:ee:02", "dev", "cali0", "nud", "permanent");
  await runOrThrow(["bridge", "-n", name, "fdb", "add", "66:00:00:00:00:02", "dev", "vxlan.calico", "dst", "10.0.0.7", "self", "permanent"], {});
  await ip("rule", "add", "priority", "100", "from", "10.0.0.0/8", "fwmark", "0x10/0xff", "lookup", "300");

  const socket = withNetns(netnsPath(name), () => openNetlinkSocket());
  const dump = (request: Uint8Array) => socket.dump(request, "capture").map((body) => Buffer.from(body).toString("hex"));
  const cali0 = socket.indexOf("cali0") ?? 0;
  const golden = {
    names: Object.fromEntries(["lo", "cali0", "eth0", "vxlan.calico"].map((link) => [socket.indexOf(link), link])),
    links: { ip: (await ip("-o", "-d", "link")).split("\n"), hex: dump(encodeGetLinks()) },
    addresses: { ip: (await ip("-o", "addr")).split("\n"), hex: dump(encodeGetAddresses({ index: cali0 })) },
    routes4: { ip: (await ip("-o", "-N", "-d", "route", "show", "table", "all")).split("\n"), hex: dump(encodeGetRoutes(4, { table: "all" })) },
    routes6: { ip: (await ip("-o", "-N", "-d", "-6", "route")).split("\n"), hex: dump(encodeGetRoutes(6, {})) },
    neighbours: { ip: (await ip("neigh", "show", "dev", "cali0")).split("\n"), hex: dump(encodeGetNeighbours(cali0, "neighbours")) },
    fdb: { ip: (await runOrThrow(["bridge", "-n", name, "fdb"], {})).split("\n"), hex: dump(encodeGetFdb()) },
    rules: { ip: (await ip("rule")).split("\n"), hex: dump(encodeGetRules(4)) },
  };
  socket.close();
  writeFileSync(new URL("kernel.json", import.meta.url), `${JSON.stringify(golden, undefined, 1)}\n`);
} finally {
  await deleteNetns(name);
}
