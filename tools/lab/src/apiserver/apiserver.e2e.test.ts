import { request } from "node:https";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isNotFound, loadKubeconfig, openKubeClient, RESOURCES } from "@calico/kube-client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { type ControlPlane, type Runtime, startControlPlane } from "./testing/control-plane.ts";

let cluster: ControlPlane;
beforeAll(async () => void (cluster = await startControlPlane({ runtime: "deno" })));
afterAll(() => cluster?.stop());
const k = (line: string, stdin?: string) => cluster.kubectl(line.split(" "), stdin);

const pod = (name: string, image = "nginx") => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels: { app: "web" } },
  spec: { containers: [{ name: "nginx", image, ports: [{ containerPort: 80, name: "http" }] }] },
});
const service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web" },
  spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] },
};
const policy = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name: "deny" }, spec: { podSelector: {} } };
const node = { apiVersion: "v1", kind: "Node", metadata: { name: "n1" }, status: { conditions: [{ type: "Ready", status: "True" }] } };
const manifest = (...objects: object[]) => objects.map((o) => stringify(o)).join("---\n");

test("kubectl: apply from stdin creates, is idempotent, and changes", async () => {
  const all = [pod("web"), service, policy, node];
  expect(await k("apply -f -", manifest(...all))).toBe(
    "pod/web created\nservice/web created\nnetworkpolicy.networking.k8s.io/deny created\nnode/n1 created",
  );
  expect(await k("apply -f -", manifest(...all))).toBe(
    "pod/web unchanged\nservice/web unchanged\nnetworkpolicy.networking.k8s.io/deny unchanged\nnode/n1 unchanged",
  );
  expect(await k("apply -f -", manifest(pod("web", "nginx:2")))).toBe("pod/web configured");
  expect(await k("get pod web -o jsonpath={.spec.containers[0].image}")).toBe("nginx:2");
});

test("kubectl: get prints the columns that people know", async () => {
  expect(await k("get pods -o wide")).toMatch(
    /^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES\nweb +0\/1 +Pending +0 /,
  );
  expect(await k("get svc")).toMatch(/kubernetes +ClusterIP +10\.96\.0\.1 +<none> +443\/TCP/);
  expect(await k("get nodes")).toMatch(/n1 +Ready +<none>/);
  expect(await k("get all,netpol,ep,endpointslices -A")).toMatch(/networkpolicy\.networking\.k8s\.io\/deny/);
  expect(await k("get pods -l app=other")).toBe("No resources found in default namespace.");
  expect(await k("get pod web -o yaml")).toMatch(/^apiVersion: v1\nkind: Pod\n[^]*restartPolicy: Always/);
  expect(await k("describe pod web")).toMatch(/Name: +web[^]*Image: +nginx:2/);
  expect(await k("get widgets")).toMatch(/the server doesn't have a resource type "widgets"/);
});

test("kubectl: label, annotate, patch, wait, watch, delete", async () => {
  expect(await k("label pod web v=1")).toBe("pod/web labeled");
  expect(await k("label pod web v=2")).toMatch(/already has a value \(1\), and --overwrite is false/);
  expect(await k("annotate pod web note=hello")).toBe("pod/web annotated");
  const client = openKubeClient(loadKubeconfig(cluster.kubeconfig));
  const waiting = k("wait --for=condition=Ready pod/web --timeout=10s");
  const ready = { status: { conditions: [{ type: "Ready", status: "True" }] } };
  await client.patch(RESOURCES.pods, { namespace: "default", name: "web", subresource: "status" }, { type: "strategic", body: ready });
  expect(await waiting).toBe("pod/web condition met");
  client.close();
  expect(await k("delete pod web --timeout=10s")).toMatch(/^pod "web" deleted/);
  expect(await k("get pod web")).toBe('Error from server (NotFound): pods "web" not found');
});

function get(
  path: string,
  o: { token?: string; method?: string; body?: string } = {},
): Promise<{ code: number | undefined; body: string }> {
  const url = new URL(cluster.url);
  const headers = { ...(o.token === undefined ? {} : { authorization: `Bearer ${o.token}` }), "content-type": "application/json" };
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: url.hostname, port: url.port, path, method: o.method ?? "GET", headers, rejectUnauthorized: false },
      (response) => {
        let body = "";
        response.on("data", (c) => (body += c));
        response.on("end", () => resolve({ code: response.statusCode, body }));
      },
    );
    outgoing.on("error", reject);
    outgoing.end(o.body);
  });
}

test("server: 401 without the token, but health is open; 413 for a body that is too large; 400 for no JSON", async () => {
  const token = readFileSync(join(cluster.folder, "token"), "utf8").trim();
  expect((await get("/api/v1/pods")).code).toBe(401);
  expect(JSON.parse((await get("/api/v1/pods", { token: `${token}x` })).body)).toMatchObject({
    kind: "Status",
    reason: "Unauthorized",
    code: 401,
  });
  expect(await get("/readyz")).toEqual({ code: 200, body: "ok" });
  expect(await get("/api/v1/pods", { token })).toMatchObject({ code: 200 });
  const large = await get("/api/v1/namespaces", { token, method: "POST", body: " ".repeat(3 * 1024 * 1024 + 1) }).catch((e: Error) => ({
    code: 413,
    body: e.message,
  }));
  expect(large.code).toBe(413);
  expect(JSON.parse((await get("/api/v1/namespaces", { token, method: "POST", body: "{" })).body)).toMatchObject({
    reason: "BadRequest",
    code: 400,
  });
});

test("server: refuses a token file that others can read", async () => {
  const file = join(cluster.folder, "open-token");
  writeFileSync(file, "t\n");
  chmodSync(file, 0o644);
  const program = cluster.run("tools/lab/src/apiserver/main.ts", [
    "--etcd",
    cluster.etcd.join(),
    "--listen",
    "127.0.0.1:0",
    "--token-file",
    file,
  ]);
  const code = await new Promise((resolve) => program.child.once("exit", resolve));
  expect(code).not.toBe(0);
  await expect.poll(() => program.output()).toMatch(/its mode is 0644, others can read it; run chmod 0600/);
});

test.for<Runtime>(["deno", "node"])("server: kill -9 loses nothing, and a reflector on %s goes on by itself", async (runtime) => {
  const follower = cluster.run("tools/lab/src/apiserver/testing/follow-pods.ts", [cluster.kubeconfig], runtime);
  const seen = () =>
    follower
      .output()
      .split("\n")
      .filter((l) => l !== "")
      .map((l) => JSON.parse(l) as { kind: string; key?: string; object?: string });
  await expect.poll(() => seen().some((e) => e.kind === "inSync"), { timeout: 10_000 }).toBe(true);
  const client = openKubeClient(loadKubeconfig(cluster.kubeconfig));
  const acknowledged: string[] = [];
  const names = Array.from({ length: 30 }, (_, i) => `${runtime}-${i}`);
  const writing = (async () => {
    for (const name of names) {
      // A write whose answer was lost may have happened: then a create is refused as existing, which is an acknowledgement too.
      for (let done = false; !done;) {
        done = await client.create(RESOURCES.pods, { ...pod(name), metadata: { name, namespace: "default", labels: { v: name } } }).then(
          () => true,
          (e: { status?: number }) => e.status === 409,
        );
      }
      acknowledged.push(name);
    }
  })();
  await expect.poll(() => acknowledged.length).toBeGreaterThan(5);
  await cluster.killApi();
  await cluster.startApi();
  const back = Date.now();
  await writing;
  const held = () =>
    new Set(
      seen()
        .filter((e) => e.kind === "added")
        .map((e) => e.object),
    );
  await expect.poll(() => names.filter((n) => !held().has(n)), { timeout: 10_000 }).toEqual([]);
  console.log(`${runtime}: reflector complete ${Date.now() - back} ms after the server was back`);
  const { items } = await client.list(RESOURCES.pods, { namespace: "default" });
  expect(names.filter((n) => !items.some((p) => p.metadata.name === n))).toEqual([]);
  for (const name of names) await client.delete(RESOURCES.pods, { namespace: "default", name });
  await expect.poll(() => seen().filter((e) => e.kind === "deleted").length, { timeout: 10_000 }).toBe(names.length);
  await expect(client.get(RESOURCES.pods, { namespace: "default", name: names[0] ?? "" })).rejects.toSatisfy(isNotFound);
  client.close();
});
