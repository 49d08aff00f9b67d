import { exec, mustExec } from "../../adapter/exec.ts";
import type { ClusterPlan } from "../plan.ts";

const CLIENT_ADDRESS = "10.99.0.100";

/** One switch, and a cable from it to each member and to the client. Everything is in namespaces made here. */
export async function buildClusterNet({ net, members }: ClusterPlan): Promise<void> {
  if (net === undefined) return;
  const ends = [
    ...members.map(({ netns, address }, i) => ({ netns: netns ?? "", address, port: `p${i}` })),
    { netns: net.clientNetns, address: CLIENT_ADDRESS, port: "pc" },
  ];
  await mustExec(["ip", "-batch", "-"], { input: [net.switchNetns, ...ends.map((e) => e.netns)].map((n) => `netns add ${n}\n`).join("") });
  const cables = ends.flatMap(({ netns, port }) => [
    `link add ${port} type veth peer name eth0 netns ${netns}`,
    `link set ${port} master br0 up`,
  ]);
  const batch = ["link add br0 type bridge", "link set br0 up", ...cables];
  await mustExec(["ip", "-batch", "-"], { netns: net.switchNetns, input: `${batch.join("\n")}\n` });
  for (const { netns, address } of ends) {
    const own = ["link set lo up", "link set eth0 up", `address add ${address}/24 dev eth0`];
    await mustExec(["ip", "-batch", "-"], { netns, input: `${own.join("\n")}\n` });
  }
}

/** Pull member `i`'s cable, or plug it in again. Its processes go on. */
export async function setCable({ net }: ClusterPlan, i: number, up: boolean): Promise<void> {
  if (net === undefined) throw new Error("Cannot cut a member off: this cluster has no network of its own");
  await mustExec(["ip", "link", "set", `p${i}`, up ? "up" : "down"], { netns: net.switchNetns });
}

export async function removeClusterNet({ net, members }: ClusterPlan): Promise<void> {
  if (net === undefined) return;
  for (const netns of [...members.map((m) => m.netns ?? ""), net.clientNetns, net.switchNetns])
    await exec(["ip", "netns", "delete", netns]);
}
