/** Members of a 3-member etcd and a 3-member NATS cluster are killed and cut off in turn while writes go on. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Cluster, startCluster } from "../src/cluster/cluster.ts";
import { planInNamespaces } from "../src/cluster/plan.ts";

const plan = planInNamespaces(`lcl${process.pid}`);
const children: ChildProcess[] = [];
let cluster: Cluster;

function inClient(argv: readonly string[]): ChildProcess {
  const child = spawn("nsenter", [`--net=/run/netns/${plan.net?.clientNetns}`, "--", ...argv], { stdio: ["pipe", "pipe", "pipe"] });
  children.push(child);
  return child;
}

beforeAll(async () => {
  cluster = await startCluster(plan);
  await cluster.ready(AbortSignal.timeout(30_000));
}, 60_000);
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }
});
afterAll(() => cluster?.[Symbol.asyncDispose]());

type Progress = {
  readonly acked: number;
  readonly events: number;
  readonly unknown: number;
  readonly faults: number;
  readonly source?: string;
};
type Final = {
  readonly faults: readonly string[];
  readonly acked: Readonly<Record<string, { readonly n: number }>>;
  readonly applied: Readonly<Record<string, { readonly n: number }>>;
  readonly inStore: Readonly<Record<string, number>>;
  readonly unknown: number;
  readonly caughtUpMs: number;
};

test.for([
  { sources: "both", limitMs: 25_000 },
  // nats-server 2.9 takes 4 to 9 s for each round of an election, one for its own leader and one for the log's; it has no setting for that.
  { sources: "log alone", limitMs: 60_000 },
])(
  "members killed and cut off in turn, agents with $sources: nothing acknowledged is lost, nothing is applied twice",
  { timeout: 400_000 },
  async ({ sources, limitMs }) => {
    const places = ["--etcd", cluster.etcd.join(), "--nats", cluster.nats.join()];
    const prefix = `/calico/resources/v3/projectcalico.org/ippools/${sources.replace(" ", "-")}-`;
    let wrong = "";
    const hear = (child: ChildProcess) => child.stderr?.on("data", (chunk: Buffer) => (wrong = (wrong + chunk.toString()).slice(-6000)));
    for (const node of ["one", "two"])
      hear(
        inClient(["bash", "setup/run.sh", "packages/bus/src/main.ts", ...places, "--node", node, "--replicas", "3", "--health-port", "-1"]),
      );
    const exerciser = inClient([
      process.execPath,
      "tools/lab/test/cluster-exerciser.ts",
      cluster.etcd.join(),
      cluster.nats.join(),
      prefix,
      sources,
      String(limitMs),
    ]);
    let now: Progress = { acked: 0, events: 0, unknown: 0, faults: 0 };
    let final: Final | undefined;
    hear(exerciser);
    createInterface({ input: exerciser.stdout! }).on("line", (line) => {
      const said = JSON.parse(line) as Progress | (Final & { readonly final: true });
      if ("final" in said) final = said;
      else now = said;
    });
    const goesOn = async (what: string) => {
      const from = now;
      const begun = performance.now();
      while (now.acked < from.acked + 40 || now.events < from.events + 40) {
        if (performance.now() - begun > limitMs || exerciser.exitCode !== null)
          throw new Error(`${what}: writes or events stopped at ${JSON.stringify({ from, now })}\n${wrong}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      console.log(
        `${what}: ${Math.round(performance.now() - begun)} ms until 40 more writes were acknowledged and 40 events came, at last from ${now.source}`,
      );
    };
    await goesOn("at first");
    for (const i of [0, 1, 2]) {
      await cluster.kill(i);
      await goesOn(`member ${i} killed`);
      await cluster.restart(i);
      await goesOn(`member ${i} back`);
    }
    for (const i of [2, 1, 0]) {
      await cluster.partition(i);
      await goesOn(`member ${i} cut off`);
      await cluster.heal(i);
      await goesOn(`member ${i} healed`);
    }
    const healed = performance.now();
    while (now.source !== "nats" && performance.now() - healed < 40_000) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(now.source, wrong).toBe("nats");
    console.log(`all healed → the log is read again: ${Math.round(performance.now() - healed)} ms`);
    await goesOn("from the log");
    exerciser.stdin?.write("stop\n");
    while (final === undefined && exerciser.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(final, wrong).toBeDefined();
    expect(final!.faults).toEqual([]);
    expect(Object.keys(final!.acked)).toHaveLength(4);
    const counts = (of: Readonly<Record<string, { readonly n: number }>>) =>
      Object.fromEntries(Object.entries(of).map(([k, { n }]) => [k, n]));
    expect(final!.inStore).toEqual(counts(final!.acked));
    expect(counts(final!.applied), wrong).toEqual(final!.inStore);
    const acked = Object.values(final!.acked).reduce((sum, { n }) => sum + n, 0);
    console.log(`acknowledged ${acked}, answers lost ${final!.unknown}, all of them applied ${final!.caughtUpMs} ms after the last write`);
  },
);
