/** The netlink contract on the running kernel, each case in two namespaces of its own. */
import { createNetns, deleteNetns, netnsPath, openNetlink } from "../src/mod.ts";
import { netlinkContract } from "./contract/netlink.ts";

let count = 0;
netlinkContract("kernel netlink", {
  async open() {
    const [own, other] = [`linux-${process.pid}-${count}`, `linux-${process.pid}-${count++}o`];
    await createNetns(own);
    await createNetns(other);
    const nl = openNetlink({ netnsPath: netnsPath(own) });
    const otherNl = openNetlink({ netnsPath: netnsPath(other) });
    return {
      nl,
      other: otherNl,
      otherPath: netnsPath(other),
      async close() {
        nl.close();
        otherNl.close();
        await deleteNetns(own);
        await deleteNetns(other);
      },
    };
  },
});
