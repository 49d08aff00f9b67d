import { startNode, type Call, type Outcome, type TestNode } from "@calico/cni/testing";
import { percentile, plain, type Row, type Suite, type SuiteOptions } from "../row.ts";

const AT_ONCE = 30;
const MEMORY_PODS = 250;

type Variant = {
  readonly name: string;
  readonly call: (node: TestNode, o: Call) => Promise<Outcome>;
  readonly conf: Readonly<Record<string, unknown>>;
};

/** The reference plugins keep their addresses in files; ours writes an endpoint and an address to etcd besides. */
function variantsOf(dir: string): readonly Variant[] {
  const hostLocal = (name: string, subnet: string) => ({ ipam: { type: "host-local", subnet, dataDir: `${dir}/${name}` } });
  return [
    { name: "calico", call: (node, o) => node.cni(o), conf: {} },
    {
      name: "ptp+host-local",
      call: (node, o) => node.plugin("ptp", o),
      conf: { type: "ptp", name: "ptp", ...hostLocal("ptp", "10.61.0.0/16") },
    },
    {
      name: "bridge+host-local",
      call: (node, o) => node.plugin("bridge", o),
      conf: { type: "bridge", name: "bridge", bridge: "bench0", isGateway: true, ...hostLocal("bridge", "10.62.0.0/16") },
    },
  ];
}

type Times = Map<string, number[]>;
const of = (times: Times, key: string): number[] => times.get(key) ?? times.set(key, []).get(key)!;

/** ADD and DEL as a runtime sees them: from starting the executable until it has ended. Variants take turns, in the same run. */
export const cni: Suite = {
  description: "ADD and DEL of a pod, beside the reference plugins ptp and bridge with host-local; where the time goes; the agent's memory",
  async run(options) {
    await using node = await startNode();
    await node.start("ipam");
    await node.start("cni", "--policy-wait-ms", "0");
    const variants = variantsOf(node.dir);
    const idle = await node.rssMb("cni");
    const one = await oneAtATime(node, { variants, n: options.quick ? 20 : 200, options });
    const steps = stepsOf(node.log("cni"));
    const many = await manyAtOnce(node, { variants, rounds: options.quick ? 1 : 7, options });
    const pods = options.quick ? AT_ONCE : MEMORY_PODS;
    const full = await memoryAt(node, pods, options);
    return [
      ...compare("one at a time", one, { addAtMost: 1, delAtMost: 1 }),
      plain("process start, socket and answer: VERSION, p50", percentile(of(one, "VERSION"), 50), "ms"),
      ...steps,
      ...compare(`${AT_ONCE} at a time`, many, { p99AtMostMs: 150 }),
      plain("agent's resident memory: idle", idle, "MB"),
      plain(`agent's resident memory: with ${pods} pods`, full.cni, "MB"),
      plain(`IPAM service's resident memory: with ${pods} pods`, full.ipam, "MB"),
    ];
  },
};

type Plan = { readonly variants: readonly Variant[]; readonly options: SuiteOptions };

async function timed(node: TestNode, v: Variant, o: { command: string; pod: string; times: Times }): Promise<void> {
  const done = await v.call(node, { command: o.command, pod: o.pod, container: `${o.pod}-${v.name.slice(0, 3)}`, conf: v.conf });
  if (done.exit !== 0) throw new Error(`Cannot measure: ${o.command} by ${v.name} failed for ${o.pod}: ${done.stdout}`);
  of(o.times, `${v.name} ${o.command}`).push(done.ms);
}

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
    of(into, "VERSION").push((await node.cni({ command: "VERSION" })).ms);
  }
  return times;
}

async function manyAtOnce(node: TestNode, { variants, rounds, options }: Plan & { rounds: number }): Promise<Times> {
  const times: Times = new Map();
  const pods = Array.from({ length: AT_ONCE }, (_, i) => `many-${i}`);
  for (const pod of pods) await node.podNetns(pod);
  for (let round = 0; round < rounds; round++) {
    options.signal.throwIfAborted();
    options.progress(`${AT_ONCE} at a time: round ${round + 1} of ${rounds}`);
    for (const v of variants)
      for (const command of ["ADD", "DEL"]) await Promise.all(pods.map((pod) => timed(node, v, { command, pod, times })));
  }
  return times;
}

async function memoryAt(node: TestNode, count: number, options: SuiteOptions): Promise<{ cni: number; ipam: number }> {
  const pods = Array.from({ length: count }, (_, i) => `mem-${i}`);
  for (const pod of pods) {
    options.signal.throwIfAborted();
    options.progress(`memory: pod ${pod}`);
    await node.podNetns(pod);
    const added = await node.cni({ pod });
    if (added.exit !== 0) throw new Error(`Cannot measure: ADD failed for ${pod}: ${added.stdout}`);
  }
  return { cni: await node.rssMb("cni"), ipam: await node.rssMb("ipam") };
}

/** Ours beside ptp's and bridge's, by median and 99th percentile. Goals are against ptp's median. */
function compare(how: string, times: Times, goal: { addAtMost?: number; delAtMost?: number; p99AtMostMs?: number }): readonly Row[] {
  return ["ADD", "DEL"].flatMap((command) => {
    const atMost = command === "ADD" ? goal.addAtMost : goal.delAtMost;
    const row = (peer: string, p: number): Row => {
      const value = percentile(of(times, `calico ${command}`), p);
      const other = percentile(of(times, `${peer} ${command}`), p);
      const ratio = value / other;
      const bound = peer.startsWith("ptp") ? (p === 50 ? atMost : command === "ADD" ? goal.p99AtMostMs : undefined) : undefined;
      const isMs = p === 99;
      return {
        name: `${command}, ${how}, p${p}, beside ${peer}`,
        value: short(value),
        unit: "ms",
        peer: short(other),
        ratio: short(ratio),
        goal: bound === undefined ? null : isMs ? `< ${bound} ms` : `≤ ${bound}×`,
        ok: bound === undefined ? null : isMs ? value < bound : ratio <= bound,
      };
    };
    return ["ptp+host-local", "bridge+host-local"].flatMap((peer) => [row(peer, 50), row(peer, 99)]);
  });
}

/** What the agent itself says of its steps. */
function stepsOf(log: string): readonly Row[] {
  const steps = new Map<string, number[]>();
  for (const line of log.split("\n").filter((l) => l.includes('"stepsMs"'))) {
    const { command, stepsMs, durationMs } = JSON.parse(line) as { command: string; stepsMs: Record<string, number>; durationMs: number };
    for (const [step, ms] of Object.entries({ ...stepsMs, all: durationMs })) {
      const key = `in the agent, ${command}: ${step}`;
      steps.set(key, [...(steps.get(key) ?? []), ms]);
    }
  }
  return [...steps].map(([name, ms]) => plain(`${name}, p50`, percentile(ms, 50), "ms"));
}

function short(value: number): number {
  return Number(value.toPrecision(4));
}
