import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { openApiConfig } from "./api-config.ts";

const dir = mkdtempSync("/tmp/calico-kubeconfig-");
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function write(name: string, user: object): string {
  const file = `${dir}/${name}`;
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "c", cluster: { server: "https://10.0.0.1:6443" } }],
    users: [{ name: "u", user }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u", namespace: "shop" } }],
    "current-context": "x",
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

test("openApiConfig: a token is read by our own client", async () => {
  const config = await openApiConfig(write("token", { token: "t0" }), new AbortController().signal);
  expect([config.server, config.token?.()]).toEqual(["https://10.0.0.1:6443", "t0"]);
});

test("openApiConfig: an exec plugin is asked for its token by Kubernetes' own client", async () => {
  const plugin = `${dir}/plugin`;
  const credential = { apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status: { token: "from-plugin" } };
  writeFileSync(plugin, `#!/bin/sh\necho '${JSON.stringify(credential)}'\n`);
  chmodSync(plugin, 0o700);
  const stop = new AbortController();
  const exec = { apiVersion: "client.authentication.k8s.io/v1", command: plugin, interactiveMode: "Never" };
  const config = await openApiConfig(write("exec", { exec }), stop.signal);
  stop.abort();
  expect([config.server, config.namespace, config.token?.()]).toEqual(["https://10.0.0.1:6443", "shop", "from-plugin"]);
});

test("openApiConfig: what neither can read is refused in both their words", async () => {
  const file = `${dir}/rubbish`;
  writeFileSync(file, "{");
  await expect(openApiConfig(file, new AbortController().signal)).rejects.toThrow(/Cannot use kubeconfig .*; Kubernetes' own client says/);
});
