/** An ADD that is killed before each of its effects in turn: what it left is taken by the next ADD, by DEL, or by GC. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT, startNode } from "../src/testing/node-kit.ts";
import type { Call, TestNode } from "../src/testing/node-kit.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startNode();
  await node.start("ipam");
  await node.start("cni", "--policy-wait-ms", "0");
});
afterAll(() => node?.[Symbol.asyncDispose]());

const call: Call = { pod: "k", conf: { cniVersion: "1.1.0" } };
const killed = (step: number, container: string) =>
  node.program(["node_modules/node24/bin/node", "packages/cni/test/killed-add.ts", String(step)], { ...call, container });

async function left(): Promise<string> {
  const veths = (await node.ip(node.ns, "-o", "link", "show", "type", "veth")).trim();
  const keys = [
    ...(await node.keys("/calico/ipam/v2/handle/")),
    ...(await node.keys("/calico/resources/v3/projectcalico.org/workloadendpoints/")),
  ];
  return [veths, ...keys].filter((s) => s !== "").join("\n");
}

const gc = (valid: { containerID: string; ifname: string }[]) =>
  node.cni({ ...call, command: "GC", conf: { cniVersion: "1.1.0", "cni.dev/valid-attachments": valid } });

test("killed before every effect in turn", { timeout: 120_000 }, async () => {
  expect(ROOT).not.toBe("");
  await node.podNetns("k");
  let steps = 0;
  for (; ; steps++) {
    const container = `dead${steps}`;
    const attempt = await killed(steps, container);
    if (attempt.exit === 0) break;
    expect(attempt.exit, `step ${steps}: ${attempt.stdout}`).toBeUndefined();
    switch (steps % 3) {
      case 0:
        // The runtime gives up on the container, and a DEL comes.
        expect(await node.cni({ ...call, container, command: "DEL" })).toMatchObject({ exit: 0 });
        break;
      case 1:
        // No DEL ever comes; the runtime collects.
        expect(await gc([])).toMatchObject({ exit: 0 });
        break;
      default: {
        // The pod is tried again, in the same namespace, as another container.
        const again = await node.cni({ ...call, container: "alive" });
        expect(again.exit, again.stdout).toBe(0);
        expect(await gc([{ containerID: "alive", ifname: "eth0" }])).toMatchObject({ exit: 0 });
        expect((await node.keys("/calico/ipam/v2/handle/")).map((k) => k.split(".").at(-1))).toEqual(["alive"]);
        expect(await node.cni({ ...call, container: "alive", command: "DEL" })).toMatchObject({ exit: 0 });
      }
    }
    expect(await left(), `after step ${steps}`).toBe("");
  }
  expect(steps).toBeGreaterThan(10);
  await node.cni({ ...call, container: `dead${steps}`, command: "DEL" });
});

test("the agent is killed while ADDs run: what they left is gone after the pods are made again and collected", async () => {
  const pods = Array.from({ length: 12 }, (_, i) => `g${i}`);
  for (const pod of pods) await node.podNetns(pod);
  const running = pods.map((pod) => node.cni({ pod, conf: call.conf! }));
  await Promise.race(running);
  await node.kill("cni");
  const outcomes = await Promise.all(running);
  const fine = pods.filter((_, i) => outcomes[i]?.exit === 0);
  for (const outcome of outcomes) if (outcome.exit !== 0) expect(outcome.json?.["code"], outcome.stdout).toBe(11);
  await node.start("cni", "--policy-wait-ms", "0");
  expect(await gc(fine.map((pod) => ({ containerID: `c-${pod}`, ifname: "eth0" })))).toMatchObject({ exit: 0 });
  expect(await node.keys("/calico/ipam/v2/handle/")).toHaveLength(fine.length);
  for (const pod of pods) expect((await node.cni({ pod, conf: call.conf! })).exit).toBe(0);
  for (const pod of pods) expect(await node.cni({ pod, command: "DEL" })).toMatchObject({ exit: 0 });
  expect(await left()).toBe("");
});
