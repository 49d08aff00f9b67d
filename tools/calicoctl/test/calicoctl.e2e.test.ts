/** The program itself, on both runtimes, against a real etcd and a real unix socket. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openEtcd } from "@calico/datastore";
import { startEtcd } from "@calico/datastore/testing";
import type { TestEtcd } from "@calico/datastore/testing";
import { makeIpam } from "@calico/ipam";
import { keyOf } from "@calico/model";
import { afterAll, beforeAll, expect, test } from "vitest";

type Ran = { readonly code: number; readonly out: string; readonly err: string };
const root = new URL("../../../", import.meta.url).pathname;
let etcd: TestEtcd;
let dir: string;
let bgp: Server;

beforeAll(async () => {
  etcd = await startEtcd();
  dir = await mkdtemp(join(tmpdir(), `calicoctl-${process.pid}-`));
  bgp = createServer((socket) => {
    const peers = [{ address: "192.168.81.102", type: "node-to-node mesh", state: "up", since: "12:00:01", info: "Established" }];
    socket.on("data", (request) =>
      socket.write(`${JSON.stringify(JSON.parse(request.toString()).op === "status" ? { peers } : { error: "?" })}\n`),
    );
  });
  await new Promise<void>((resolve) => bgp.listen(join(dir, "bgp.sock"), resolve));
});

afterAll(async () => {
  await new Promise((resolve) => bgp.close(resolve));
  await etcd.stop();
  await rm(dir, { recursive: true, force: true });
});

function calicoctl(
  args: string,
  o: { readonly runtime?: string; readonly stdin?: string; readonly endpoints?: string } = {},
): Promise<Ran> {
  const env = { ...process.env, ETCD_ENDPOINTS: o.endpoints ?? etcd.endpoints.join(","), CALICO_RUNTIME: o.runtime ?? "deno" };
  return new Promise((resolve) => {
    const child = execFile(
      join(root, "setup/run.sh"),
      ["tools/calicoctl/src/main.ts", ...args.split(" ")],
      { env, cwd: dir },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
    child.stdin?.end(o.stdin ?? "");
  });
}

const POLICY = `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  selector: app == 'web'
  ingress: [{ action: Allow, protocol: tcp, destination: { ports: [80, "8000:8100"] } }]
`;

test.for(["deno", "node"])("calicoctl on %s: a node, a policy, and what is in etcd after", async (runtime) => {
  const init = await calicoctl(`node init --name node1 --ip 192.168.81.101/24 --pool 192.200.0.0/16 --nat-outgoing --var-dir ${dir}/var`, {
    runtime,
  });
  expect([init.code, init.err]).toEqual([0, ""]);
  expect(await readFile(join(dir, "var/nodename"), "utf8")).toBe("node1");
  expect(await calicoctl("apply -f -", { runtime, stdin: POLICY })).toEqual({
    code: 0,
    err: "",
    out: "Successfully applied 1 'NetworkPolicy' resource(s)\n",
  });
  await using store = openEtcd({ endpoints: etcd.endpoints });
  const stored = JSON.parse((await store.get(keyOf({ kind: "NetworkPolicy", namespace: "shop", name: "web" })))?.value ?? "");
  expect(stored).toMatchObject({
    kind: "NetworkPolicy",
    apiVersion: "projectcalico.org/v3",
    metadata: {
      name: "web",
      namespace: "shop",
      labels: { "projectcalico.org/tier": "default" },
      annotations: { "projectcalico.org/metadata": '{"name":"web"}' },
    },
    spec: {
      tier: "default",
      types: ["Ingress"],
      ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: [80, "8000:8100"] } }],
    },
  });
  expect(stored.metadata.resourceVersion).toBeUndefined();
  expect((await calicoctl("get np -A", { runtime })).out).toBe("NAMESPACE   NAME   TIER      \nshop        web    default   \n\n");
  expect((await calicoctl("get nodes -o wide", { runtime })).out).toContain("node1   (64512)   192.168.81.101/24");
  const status = await calicoctl(`node status --run-dir ${dir}`, { runtime });
  expect(status.out).toContain("| 192.168.81.102 | node-to-node mesh | up    | 12:00:01 | Established |");
});

test("calicoctl: a bad selector in a file is refused with its place", async () => {
  await writeFile(join(dir, "bad.yaml"), POLICY.replace("app == 'web'", "app = 'web'"));
  const ran = await calicoctl("apply -f bad.yaml");
  expect(ran.code).toBe(1);
  expect(ran.err).toBe(
    "failed to execute command: bad.yaml: NetworkPolicy(shop/web): error with field spec.selector = 'app = 'web'' (invalid selector: expected == at offset 4)\n    app = 'web'\n        ^\n",
  );
});

test("calicoctl ipam show: addresses that were assigned", async () => {
  await using store = openEtcd({ endpoints: etcd.endpoints });
  const given = await makeIpam({ store }).autoAssign({ node: "node1", num4: 1, num6: 0, handle: "h1" });
  expect(given.ok).toBe(true);
  const shown = await calicoctl("ipam show --show-blocks");
  expect(shown.out).toMatch(/\| Block {4}\| 192\.200\.\d+\.\d+\/26 +\| +64 \| +1 \(2%\) \|/);
});

test("calicoctl: an etcd that is not there is one message and exit code 1", async () => {
  const ran = await calicoctl("get nodes", { endpoints: "http://127.0.0.1:1" });
  expect(ran.code).toBe(1);
  expect(ran.out).toBe("");
  expect(ran.err).toContain("http://127.0.0.1:1");
  expect(ran.err.trim().split("\n")).toHaveLength(1);
});

test("calicoctl: a broken YAML file is named with the place", async () => {
  await writeFile(join(dir, "broken.yaml"), "kind: {");
  const ran = await calicoctl("apply -f broken.yaml");
  expect([ran.code, ran.err.split("\n")[0]]).toEqual([1, expect.stringContaining("broken.yaml: ")]);
});
