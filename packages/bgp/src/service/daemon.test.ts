import { inSync, makeFakeFeed, updated, updatedKey, deleted } from "@calico/bus/testing";
import { makeMetrics } from "@calico/daemon";
import { recordingLogger } from "@calico/daemon/testing";
import { affinityKey } from "@calico/model";
import type { Applied, Status } from "@calico/model";
import { aNode, aPool } from "@calico/model/testing";
import { expect, test } from "vitest";
import { METRICS } from "../metrics.ts";
import { makeFakeClock } from "../testing/fake-clock.ts";
import { makeFakeRouteKernel } from "../testing/fake-kernel.ts";
import { makeFakeNetwork } from "../testing/fake-network.ts";
import { runDaemon } from "./daemon.ts";
import { makeRecorder } from "./recorder.ts";
import { Speaker } from "./speaker.ts";

const ADDRESS = "192.168.81.101";

/** The whole daemon without a kernel, a network and a bus. */
function start() {
  const clock = makeFakeClock();
  const kernel = makeFakeRouteKernel();
  const log = recordingLogger();
  const feed = makeFakeFeed();
  const metrics = makeMetrics(METRICS);
  const said = { status: [] as Omit<Status, "component" | "node">[], applied: [] as Omit<Applied, "component" | "node">[] };
  const reporter = {
    status: (body: (typeof said.status)[0]) => void said.status.push(body),
    applied: (body: (typeof said.applied)[0]) => void said.applied.push(body),
  };
  const recorder = makeRecorder({ node: "one", version: "1", metrics, reporter, clock, speaker: () => speaker });
  const transport = makeFakeNetwork(clock).host(ADDRESS);
  const speaker: Speaker = new Speaker({
    transport,
    kernel,
    clock,
    log,
    onApplied: recorder.applied,
    onChange: recorder.changed,
    counted: recorder.counted,
  });
  const life = new AbortController();
  const running = runDaemon({ settings: { node: "one" }, feed, speaker, recorder, log, signal: life.signal });
  return { clock, kernel, log, feed, metrics, said, recorder, end: () => (feed.end(), running) };
}

const node = aNode("one", `${ADDRESS}/24`);
const block = updatedKey(affinityKey("one", "192.200.59.192/26"), { state: "confirmed", deleted: false }, 7);

test("runDaemon: nothing is done before in-sync, then everything", async () => {
  const { clock, kernel, feed, recorder, end } = start();
  feed.push(updated(node, 5), updated(aPool("pool", "192.200.0.0/16"), 6), block);
  await clock.advance(1_000);
  expect(kernel.log).toEqual([]);
  expect(recorder.health()).toMatchObject({ live: true, ready: false });
  feed.push(inSync(7));
  await clock.advance(1_000);
  expect(kernel.log).toEqual(["add blackhole 192.200.59.192/26"]);
  expect(recorder.health()).toMatchObject({ live: true, ready: true, detail: { revision: 7, peers: [] } });
  await end();
});

test("runDaemon: says what was applied, at which revision, and how it is", async () => {
  const { clock, feed, said, metrics, end } = start();
  feed.push(updated(node, 5), block, inSync(7));
  await clock.advance(1_000);
  expect(said.applied).toMatchObject([{ revision: 7, changed: ["add 192.200.59.192/26"], repaired: [] }]);
  expect(said.status.at(-1)).toMatchObject({ healthy: true, inSync: true, revision: 7, detail: { listening: { where: { port: 179 } } } });
  expect(await metrics.print()).toMatch(/calico_bgp_kernel_routes\{what="present"\} 1/);
  await end();
});

test("runDaemon: a dead peer is listed with its cause, and the node is ready all the same", async () => {
  const { clock, feed, recorder, end } = start();
  feed.push(updated(node, 5), updated(aNode("two", "192.168.81.100/24"), 6), inSync(6));
  await clock.advance(3_000);
  expect(recorder.health()).toMatchObject({ ready: true, detail: { peers: [{ address: "192.168.81.100", state: "start" }] } });
  feed.push(updated(aNode("three", "192.168.81.200/24"), 7));
  await clock.advance(3_000);
  const { peers } = recorder.health().detail as { peers: { info: string }[] };
  expect(peers.map((peer) => peer.info)).toEqual(["Active: connection refused", "Active"]);
  await end();
});

test("runDaemon: a broken object is said, counted, and harms no other", async () => {
  const { clock, kernel, feed, log, metrics, end } = start();
  feed.push(
    updated(node, 5),
    updatedKey("/calico/resources/v3/projectcalico.org/ippools/bad", { kind: "IPPool", spec: { cidr: "10.0.0.1/8" } }, 6),
    block,
    inSync(7),
  );
  await clock.advance(1_000);
  expect(kernel.own.size).toBe(1);
  expect(log.lines.find((line) => line.message === "object is not valid and counts as absent")?.fields["why"]).toContain("10.0.0.1/8");
  expect(await metrics.print()).toContain('calico_bgp_objects_rejected_total{kind="IPPool"} 1');
  await end();
});

test("runDaemon: a new snapshot after the bus was away changes nothing that is still so", async () => {
  const { clock, kernel, feed, end } = start();
  feed.push(updated(node, 5), block, inSync(7));
  await clock.advance(1_000);
  feed.push(updated(node, 8), inSync(8));
  await clock.advance(1_000);
  expect(kernel.log).toEqual(["add blackhole 192.200.59.192/26"]);
  feed.push(deleted(node, 9));
  await clock.advance(1_000);
  expect(kernel.own.size).toBe(1);
  await end();
});

test.for<{ request: unknown; want: object }>([
  {
    request: { op: "status" },
    want: { node: "one", inSync: true, peers: [{ address: "192.168.81.100", state: "start" }], rib: { originated: ["192.200.59.192/26"] } },
  },
  {
    request: { op: "peer", address: "192.168.81.100" },
    want: { address: "192.168.81.100", history: [{ what: "started" }, { what: "dial failed: connection refused" }] },
  },
  { request: { op: "peer", address: "1.2.3.4" }, want: { error: "no peer 1.2.3.4" } },
  { request: { op: "dance" }, want: { error: 'expected {"op":"status"} or {"op":"peer","address":"…"}' } },
])("Recorder.answer: $request.op $request.address", async ({ request, want }) => {
  const { clock, feed, recorder, end } = start();
  feed.push(updated(node, 5), updated(aNode("two", "192.168.81.100/24"), 6), block, inSync(7));
  await clock.advance(500);
  expect(recorder.answer(request)).toMatchObject(want);
  await end();
});
