import { startNode, type TestNode } from "@calico/cni/testing";
import { percentile, plain, type Suite, type SuiteOptions } from "../row.ts";
import { timed, timesOf, variantsOf, type Plan, type Times } from "./cni/calls.ts";
import { compare } from "./cni/compare.ts";
import { withPolicy } from "./cni/policy.ts";
import { felixSteps, stepsOf } from "./cni/steps.ts";

const AT_ONCE = 30;
const MEMORY_PODS = 250;
const POLICY_WAIT_SEC = 10;

/** ADD and DEL as a runtime sees them: from starting the executable until it has ended. Variants take turns, in the same run. */
export const cni: Suite = {
  description: "ADD and DEL of a pod, beside the reference plugins ptp and bridge with host-local; where the time goes; the agent's memory",
  async run(options) {
    const { quick } = options;
    await using node = await startNode();
    await node.start("ipam");
    await node.start("cni");
    const variants = Object.values(variantsOf(node.dir, { policyWaitSec: 0 }));
    const idle = await node.rssMb("cni");
    const one = await oneAtATime(node, { variants, n: quick ? 20 : 200, options });
    const steps = ["ADD", "DEL"].flatMap((command) => stepsOf(node.log("cni"), { command }).filter((r) => !r.name.includes("policy")));
    const many = await manyAtOnce(node, { variants, rounds: quick ? 1 : 7, options });
    const pods = quick ? AT_ONCE : MEMORY_PODS;
    const full = await memoryAt(node, pods, options);

    await node.startPolicy();
    const { calico, ptp } = variantsOf(node.dir, { policyWaitSec: POLICY_WAIT_SEC });
    const logged = node.log("cni").length;
    const waited = await withPolicy(node, { variants: [calico, ptp], rounds: quick ? 1 : 10, options });
    return [
      ...compare("one at a time", one, { medianAtMost: { ADD: 1, DEL: 1 } }),
      ...compare("with the policy wait", waited, { medianAtMost: { ADD: 2.5 } }, { commands: ["ADD"] }),
      plain("where it goes: process start, socket and answer (VERSION), p50", percentile(timesOf(one, "VERSION"), 50), "ms"),
      ...steps,
      ...stepsOf(node.log("cni").slice(logged), { command: "ADD", only: ["policy"] }),
      ...felixSteps(node.log("felix")),
      ...compare(`${AT_ONCE} at a time`, many, { p99BelowMs: 150 }),
      plain("agent's resident memory: idle", idle, "MB"),
      plain(`agent's resident memory: with ${pods} pods`, full.cni, "MB"),
      plain(`IPAM service's resident memory: with ${pods} pods`, full.ipam, "MB"),
    ];
  },
};

async function oneAtATime(node: TestNode, { variants, n, options }: Plan & { n: number }): Promise<Times> {
  const times: Times = new Map();
  for (const v of variants) await node.podNetns(`one-${v.name[0]}`);
  for (let i = -5; i < n; i++) {
    options.signal.throwIfAborted();
    options.progress(`one at a time: ${Math.max(0, i + 1)} of ${n}`);
    // The first rounds warm up; the order changes, so that nobody always follows the same.
    const into: Times = i < 0 ? new Map() : times;
    for (let k = 0; k < variants.length; k++) {
      const v = variants[(k + Math.abs(i)) % variants.length];
      if (v === undefined) continue;
      for (const command of ["ADD", "DEL"]) await timed(node, v, { command, pod: `one-${v.name[0]}`, times: into });
    }
    timesOf(into, "VERSION").push((await node.cni({ command: "VERSION" })).ms);
  }
  return times;
}

/** Rounds of all pods at once; the first one warms up. */
async function manyAtOnce(node: TestNode, { variants, rounds, options }: Plan & { rounds: number }): Promise<Times> {
  const times: Times = new Map();
  const pods = Array.from({ length: AT_ONCE }, (_, i) => `many-${i}`);
  for (const pod of pods) await node.podNetns(pod);
  for (let round = -1; round < rounds; round++) {
    options.signal.throwIfAborted();
    options.progress(`${AT_ONCE} at a time: round ${Math.max(0, round + 1)} of ${rounds}`);
    const into: Times = round < 0 ? new Map() : times;
    for (const v of variants)
      for (const command of ["ADD", "DEL"]) await Promise.all(pods.map((pod) => timed(node, v, { command, pod, times: into })));
  }
  return times;
}

async function memoryAt(node: TestNode, count: number, options: SuiteOptions): Promise<{ cni: number; ipam: number }> {
  const pods = Array.from({ length: count }, (_, i) => `mem-${i}`);
  for (const pod of pods) {
    options.signal.throwIfAborted();
    options.progress(`memory: pod ${pod}`);
    await node.podNetns(pod);
    const added = await node.cni({ pod, conf: { policy_setup_timeout_seconds: 0 } });
    if (added.exit !== 0) throw new Error(`Cannot measure: ADD failed for ${pod}: ${added.stdout}`);
  }
  const memory = { cni: await node.rssMb("cni"), ipam: await node.rssMb("ipam") };
  for (const pod of pods) await node.cni({ command: "DEL", pod });
  return memory;
}
