/** A node and its pods as namespaces of the test's own, and felix's parts working on that node with a feed that the test writes. */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNetns, deleteNetns, netnsPath, openNetlink } from "@calico/linux";
import type { IptablesBackend } from "@calico/linux";
import { makeMetrics } from "@calico/daemon";
import { recordingLogger } from "@calico/daemon/testing";
import type { Applied } from "@calico/model";
import { openKernel } from "../../src/adapter/kernel.ts";
import { openMtuFile, openStatusFiles } from "../../src/adapter/status-files.ts";
import { vxlanMac } from "../../src/adapter/vxlan-mac.ts";
import type { FeedEvent } from "../../src/domain/feed-event.ts";
import { Graph } from "../../src/domain/graph.ts";
import { METRICS } from "../../src/metrics.ts";
import { Dataplane } from "../../src/service/dataplane.ts";
import { Felix } from "../../src/service/felix.ts";

/** Events pushed by hand, in batches as they are pushed. */
export function makeFeed(signal: AbortSignal) {
  const waiting: FeedEvent[][] = [];
  let wake: (() => void) | undefined;
  signal.addEventListener("abort", () => wake?.(), { once: true });
  return {
    push(...events: FeedEvent[]) {
      waiting.push(events);
      wake?.();
    },
    async *[Symbol.asyncIterator](): AsyncGenerator<readonly FeedEvent[]> {
      while (!signal.aborted) {
        const next = waiting.shift();
        if (next !== undefined) yield next;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

export type TestNode = Awaited<ReturnType<typeof makeNode>>;

/** Names carry the process id; everything goes with `remove`. */
export async function makeNode(name: string) {
  const netns = `felix-${process.pid}-${name}`;
  const made: string[] = [];
  const dir = mkdtempSync(join(tmpdir(), "felix-e2e-"));
  await createNetns(netns);
  made.push(netns);
  const sh = (ns: string, command: string): string =>
    execFileSync("nsenter", [`--net=${netnsPath(ns)}`, "sh", "-c", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  sh(
    netns,
    "ip link set dev lo up; ip link add eth0 type veth peer name eth0up; ip addr add 192.168.81.101/24 dev eth0; ip link set eth0 up; ip link set eth0up up; ip route add default via 192.168.81.1",
  );
  return {
    netns,
    dir,
    sh: (command: string) => sh(netns, command),
    inPod: (pod: string, command: string) => sh(`${netns}-${pod}`, command),
    /** A pod's namespace with its veth, as CNI leaves it, but for what is felix's. */
    async addPod(pod: string, o: { readonly ip: string; readonly iface: string; readonly mac: string }) {
      const ns = `${netns}-${pod}`;
      await createNetns(ns);
      made.push(ns);
      using netlink = openNetlink({ netnsPath: netnsPath(netns) });
      await netlink.addLink({
        kind: "veth",
        name: o.iface,
        mac: "ee:ee:ee:ee:ee:ee",
        up: true,
        peer: { name: "eth0", mac: o.mac, netns: netnsPath(ns) },
      });
      sh(
        ns,
        `set -e; ip link set lo up; ip link set eth0 up; ip route add 169.254.1.1 dev eth0 scope link; ip route add default via 169.254.1.1; ip addr add ${o.ip}/32 dev eth0`,
      );
    },
    /** One TCP connection from a pod to another, whose end sends back what it gets. */
    openEcho(client: string, to: { readonly server: string; readonly ip: string }) {
      const at = (pod: string, words: string[]) =>
        spawn("nsenter", [`--net=${netnsPath(`${netns}-${pod}`)}`, "busybox", ...words], { stdio: ["pipe", "pipe", "ignore"] });
      const server = at(to.server, ["nc", "-l", "-p", "7000", "-e", "cat"]);
      // The listener may not be there yet: try until a connection stands.
      const end = at(client, ["sh", "-c", `while ! busybox nc ${to.ip} 7000; do busybox sleep 0.05; done`]);
      return {
        async say(text: string): Promise<string> {
          const answer = new Promise<string>((resolve) => end.stdout.once("data", (data: Buffer) => resolve(data.toString().trim())));
          end.stdin.write(`${text}\n`);
          return answer;
        },
        [Symbol.dispose]() {
          end.kill("SIGKILL");
          server.kill("SIGKILL");
        },
      };
    },
    /** felix, started; `stop` ends it and leaves the kernel as it is. */
    startFelix(o: { readonly backend: IptablesBackend; readonly refreshMs?: number }) {
      const controller = new AbortController();
      const { signal } = controller;
      const feed = makeFeed(signal);
      const log = recordingLogger();
      const applied: Omit<Applied, "component" | "node">[] = [];
      const kernel = openKernel({ backend: o.backend, families: [4, 6], netnsPath: netnsPath(netns) });
      const felix = new Felix(
        {
          feed,
          links: kernel.netlink.changes(signal, { of: ["links"] }),
          graph: new Graph({ node: "node1", macOf: vxlanMac }),
          dataplane: new Dataplane(kernel, openStatusFiles(join(dir, "endpoint-status")), openMtuFile(join(dir, "mtu"))),
          reports: { status: () => {}, applied: (body) => void applied.push(body) },
          metrics: makeMetrics(METRICS),
          log,
          nowMs: () => performance.now(),
        },
        { signal, version: "test", refreshMs: o.refreshMs ?? 3_600_000 },
      );
      const running = felix.run();
      return {
        feed,
        log,
        applied,
        felix,
        async stop() {
          controller.abort("test");
          await running;
          kernel.netlink.close();
        },
      };
    },
    async remove() {
      for (const ns of made.toReversed()) await deleteNetns(ns);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Ask until it holds; the test's own limit ends it otherwise. */
export async function until(what: string, holds: () => boolean, limitMs = 15_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
