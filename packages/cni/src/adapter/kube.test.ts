import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parseNetconf } from "../domain/netconf.ts";
import { aNetconf } from "../testing.ts";
import { openKubeClients } from "./kube.ts";

const POD = {
  kind: "Pod",
  apiVersion: "v1",
  metadata: {
    name: "nginx",
    namespace: "default",
    generateName: "nginx-",
    labels: { app: "web" },
    annotations: { "cni.projectcalico.org/hwAddr": "02:00:00:00:00:01" },
    resourceVersion: "1",
  },
  spec: {
    serviceAccountName: "web",
    containers: [
      { ports: [{ name: "http", containerPort: 80 }, { containerPort: 81 }, { containerPort: 82, hostPort: 8082, protocol: "UDP" }] },
    ],
  },
};

async function serveApi() {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization ?? ""}`);
    const found = request.url === "/api/v1/namespaces/default/pods/nginx";
    response.writeHead(found ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(found ? POD : { kind: "Status", status: "Failure", reason: "NotFound", code: 404, message: "no" }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { seen, server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

test("podOf: labels, account and the ports that matter, with the configuration's token", async () => {
  const { seen, server, url } = await serveApi();
  using clients = openKubeClients({ agentKubeconfig: undefined });
  const policy = { type: "k8s", k8s_api_root: `${url}/api/v1`, k8s_auth_token: "secret" };
  const conf = parseNetconf(aNetconf({ policy, kubernetes: {} }));
  expect(await clients.podOf(conf, { namespace: "default", name: "nginx" })).toEqual({
    labels: { app: "web" },
    annotations: { "cni.projectcalico.org/hwAddr": "02:00:00:00:00:01" },
    generateName: "nginx-",
    serviceAccount: "web",
    ports: [
      { name: "http", protocol: "TCP", port: 80 },
      { name: "", protocol: "UDP", port: 82, hostPort: 8082 },
    ],
  });
  expect(seen).toEqual(["GET /api/v1/namespaces/default/pods/nginx Bearer secret"]);
  await expect(clients.podOf(conf, { namespace: "default", name: "gone" })).rejects.toMatchObject({ code: 11 });
  server.closeAllConnections();
  server.close();
});

test("podOf: neither kubeconfig nor API root is a fault of the configuration", async () => {
  using clients = openKubeClients({ agentKubeconfig: undefined });
  const conf = parseNetconf(aNetconf({ policy: { type: "k8s" }, kubernetes: { kubeconfig: "/none" } }));
  await expect(clients.podOf(conf, { namespace: "default", name: "nginx" })).rejects.toMatchObject({ code: 7 });
});

test("a kubeconfig written anew: its token is used from then on, and its end is what health counts to", async () => {
  const { seen, server, url } = await serveApi();
  const folder = mkdtempSync(join(tmpdir(), "cni-kube-"));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  const file = join(folder, "kubeconfig");
  const write = (token: string) => {
    const user = `users: [{name: u, user: {token: ${token}}}]`;
    const rest = `clusters: [{name: c, cluster: {server: "${url}"}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n`;
    writeFileSync(`${file}.new`, `apiVersion: v1\nkind: Config\n${user}\n${rest}`);
    renameSync(`${file}.new`, file);
  };
  const tokenUntil = (exp: number) => `e30.${Buffer.from(JSON.stringify({ exp })).toString("base64url")}.c2ln`;
  using clients = openKubeClients({ agentKubeconfig: file });
  const conf = parseNetconf(aNetconf());
  expect(clients.tokenExpiry()).toMatchObject({ at: "unreadable" });
  for (const exp of [1000, 2000]) {
    write(tokenUntil(exp));
    await clients.podOf(conf, { namespace: "default", name: "nginx" });
    expect(clients.tokenExpiry()).toEqual({ at: "known", expiresAtMs: exp * 1000 });
  }
  expect(seen.map((line) => line.split(" Bearer ")[1])).toEqual([tokenUntil(1000), tokenUntil(2000)]);
  write("opaque");
  expect(clients.tokenExpiry()).toEqual({ at: "unknown" });
});

test("vmiOf, vmOf: what is there, what is not, and who may not look, with the permission that is missing", async () => {
  const owner = { apiVersion: "kubevirt.io/v1", kind: "VirtualMachine", name: "vm1", uid: "V", controller: true };
  const answers: Record<string, [number, object]> = {
    "/virtualmachineinstances/vm1": [200, { metadata: { name: "vm1", uid: "I", ownerReferences: [owner] } }],
    "/virtualmachines/vm1": [200, { metadata: { name: "vm1", uid: "V", deletionTimestamp: "2026-11-23T10:00:00Z" } }],
    "/virtualmachineinstances/secret": [403, { kind: "Status", reason: "Forbidden", code: 403, message: "not for you" }],
  };
  const server = createServer((request, response) => {
    const [code, body] = answers[(request.url ?? "").replace("/apis/kubevirt.io/v1/namespaces/d", "")] ?? [404, {}];
    response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(body));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  using clients = openKubeClients({ agentKubeconfig: undefined });
  const policy = { type: "k8s", k8s_api_root: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, k8s_auth_token: "t" };
  const conf = parseNetconf(aNetconf({ policy, kubernetes: {} }));
  const place = (name: string) => ({ namespace: "d", name });
  expect(await clients.vmiOf(conf, place("vm1"))).toEqual({ uid: "I", isDeleting: false, vm: { name: "vm1", uid: "V" } });
  expect(await clients.vmOf(conf, place("vm1"))).toEqual({ isDeleting: true });
  expect(await clients.vmiOf(conf, place("none"))).toBeUndefined();
  await expect(clients.vmiOf(conf, place("secret"))).rejects.toMatchObject({
    code: 11,
    message: "the API server does not let the CNI plugin look at VirtualMachineInstance d/secret",
    details: expect.stringMatching(/needs the verb get on virtualmachines and virtualmachineinstances of kubevirt\.io$/),
  });
  server.closeAllConnections();
  server.close();
});
