/** `ipam explain` against a real etcd, a real event log with its syncer, and the collector's own way of saying things. */
import { execFile } from "node:child_process";
import { openReporter } from "@calico/bus";
import { openTestSyncer, startNats } from "@calico/bus/testing";
import type { TestNats } from "@calico/bus/testing";
import { recordingLogger } from "@calico/daemon/testing";
import { openEtcd } from "@calico/datastore";
import { startEtcd } from "@calico/datastore/testing";
import type { TestEtcd } from "@calico/datastore/testing";
import { makeIpam } from "@calico/ipam";
import { putPool } from "@calico/ipam/testing";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = new URL("../../../", import.meta.url).pathname;
let etcd: TestEtcd;
let nats: TestNats;
beforeAll(async () => {
  [etcd, nats] = await Promise.all([startEtcd(), startNats()]);
});
afterAll(async () => {
  await Promise.all([etcd.stop(), nats.stop()]);
});

function explain(ip: string): Promise<string> {
  const env = { ...process.env, ETCD_ENDPOINTS: etcd.endpoints.join(","), NATS_URL: nats.servers.join(",") };
  return new Promise((resolve) =>
    execFile(`${root}setup/run.sh`, ["tools/calicoctl/src/main.ts", "ipam", "explain", ip], { env, cwd: root }, (_error, out, err) =>
      resolve(out + err),
    ),
  );
}

test("ipam explain: assigned, released with evidence, assigned again; from the log itself", { timeout: 60_000 }, async () => {
  await using store = openEtcd({ endpoints: etcd.endpoints });
  await using _syncer = openTestSyncer({ etcd: etcd.endpoints, nats: nats.servers });
  const reporter = openReporter({ servers: nats.servers, component: "ipam-gc", node: "c", log: recordingLogger(), stream: "ipam" });
  await putPool(store, "p", { cidr: "10.7.0.0/28", blockSize: 28 });
  const ipam = makeIpam({ store });
  const give = (handle: string, pod: string) =>
    ipam.assignIp({ node: "n1", ip: "10.7.0.3", handle, attrs: { pod, namespace: "d", node: "n1" } });
  await give("net.c1", "a");
  await expect.poll(() => explain("10.7.0.3"), { timeout: 20_000, interval: 200 }).toMatch(/Z  .*assigned to pod d\/a/); // the syncer follows
  await ipam.releaseByHandle("net.c1");
  await give("net.c2", "b");
  const evidence = [{ kind: "podMissing", text: "no pod d/a", source: "kubernetes", revision: "70" }];
  const body = { ip: "10.7.0.3", handle: "net.c1", sequence: "1", since: "2026-11-23T10:00:00Z", evidence };
  // Said until it is heard: a reporter drops what it is told before it is connected.
  await expect
    .poll(async () => (reporter.event("ipam.gc.10%2E7%2E0%2E3", body), await explain("10.7.0.3")), { timeout: 40_000, interval: 200 })
    .toMatch(/because no pod d\/a \(kubernetes revision 70\)/);
  const out = await explain("10.7.0.3");
  expect(out).toMatch(/State: assigned to pod d\/b, on node n1, handle net\.c2, sequence \d+/);
  expect(out).toMatch(/assigned to pod d\/a[^]*released by net\.c1[^]*assigned to pod d\/b/);
  await reporter.close();
});
