import { renderFabric, type Topology } from "../domain/topology.ts";
import { exec, mustExec } from "./exec.ts";

/** Make the lab's namespaces and cables. All or nothing is the teardown's business, not ours. */
export async function buildFabric(t: Topology): Promise<void> {
  const names = [t.fabricNetns, t.controlNetns, t.outsideNetns, ...t.nodes.map((n) => n.netns)];
  await mustExec(["ip", "-batch", "-"], { input: names.map((n) => `netns add ${n}\n`).join("") });
  // No namespace of the lab wants a bridged frame to go through iptables, nor IPv6 duplicate address detection to delay it.
  const sysctl = "for f in bridge/bridge-nf-call-iptables; do [ -e /proc/sys/net/$f ] && echo 0 > /proc/sys/net/$f; done; true";
  for (const netns of names) await mustExec(["sh", "-c", sysctl], { netns });
  for (const { netns, batch } of renderFabric(t)) await mustExec(["ip", "-batch", "-"], { netns, input: `${batch.join("\n")}\n` });
}

/** Whether this kernel can make IPIP tunnels; tried in the fabric's namespace. */
export async function kernelHas(t: Topology, kind: "ipip" | "vxlan"): Promise<boolean> {
  const spec = kind === "ipip" ? ["type", "ipip", "local", "127.0.0.1"] : ["type", "vxlan", "id", "1", "dstport", "4789"];
  const made = await exec(["ip", "link", "add", "probe0", ...spec], { netns: t.fabricNetns });
  if (made.code === 0) await mustExec(["ip", "link", "delete", "probe0"], { netns: t.fabricNetns });
  return made.code === 0;
}
