/** What `calicoctl nats permissions` prints, taken by a real nats-server. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { startNats } from "@calico/bus/testing";
import { startEtcd } from "@calico/datastore/testing";
import { connect } from "@nats-io/transport-node";
import { expect, test, vi } from "vitest";

const run = promisify(execFile);
const repository = join(import.meta.dirname, "../../..");
const permissions = (...args: readonly string[]) =>
  run(join(repository, "setup/run.sh"), ["tools/calicoctl/src/main.ts", "nats", "permissions", ...args], { cwd: repository });

test("nats permissions: a server with that configuration knows each by its password, and lets a node do its own and no more", async () => {
  const { stdout } = await permissions("syncer/ctl", "node/node1", "reader/look");
  for (const name of ["CTL", "NODE1", "LOOK"]) vi.stubEnv(`NATS_PASSWORD_${name}`, `secret-of-${name}`);
  const nats = await startNats({ config: stdout });
  try {
    const as = (user: string, pass: string) => connect({ servers: nats.servers, user, pass, reconnect: false, timeout: 2000 });
    await expect(as("node1", "secret-of-LOOK")).rejects.toThrow(/Authorization Violation/i);
    const nc = await as("node1", "secret-of-NODE1");
    const refused: string[] = [];
    void (async () => {
      for await (const status of nc.status()) if (status.type === "error") refused.push(String(status.error));
    })();
    nc.publish("calico.status.felix.node1", "{}");
    nc.publish("calico.status.felix.node2", "{}");
    await nc.flush();
    await expect.poll(() => refused).toHaveLength(1);
    expect(refused[0]).toContain('Publish to "calico.status.felix.node2"');
    await nc.close();
  } finally {
    await nats.stop();
  }
});

test("ipam explain: a reader is let in by the name that its permissions were made for", async () => {
  const { stdout } = await permissions("reader/look");
  vi.stubEnv("NATS_PASSWORD_LOOK", "secret");
  const [etcd, nats] = await Promise.all([startEtcd(), startNats({ config: stdout })]);
  try {
    const flags = ["--etcd", etcd.endpoints.join(), "--nats", nats.servers.join(), "--nats-user", "look"];
    const explain = (...more: readonly string[]) =>
      run(join(repository, "setup/run.sh"), ["tools/calicoctl/src/main.ts", "ipam", "explain", "10.0.0.1", ...flags, ...more], {
        env: { ...process.env, NATS_PASSWORD: "secret" },
      });
    await expect(explain()).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/cannot read the event log.*see --nats-name/) as string,
    });
    expect((await explain("--nats-name", "look")).stdout).toContain("History: the event log knows nothing of it");
  } finally {
    await Promise.all([etcd.stop(), nats.stop()]);
  }
});

test("nats permissions: a server whose environment lacks a password does not start", async () => {
  const { stdout } = await permissions("node/node7");
  await expect(startNats({ config: stdout })).rejects.toThrow(/NATS_PASSWORD_NODE7/);
});

test("nats permissions: help, and a bad bearer", async () => {
  const { stdout } = await permissions("--help");
  expect(stdout).toMatch(/ROLE is node, syncer, controller or reader/);
  await expect(permissions("admin/x")).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining("unknown bearer 'admin/x'") as string,
  });
});
