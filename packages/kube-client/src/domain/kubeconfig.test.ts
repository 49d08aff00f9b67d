import { expect, test } from "vitest";
import { parseKubeconfig } from "./kubeconfig.ts";

const base = {
  clusters: [{ name: "c", cluster: { server: "https://10.0.0.1:6443" } }],
  users: [{ name: "u", user: { token: "t" } }],
  contexts: [{ name: "x", context: { cluster: "c", user: "u", namespace: "ns" } }],
  "current-context": "x",
};
const text = (change: object = {}) => JSON.stringify({ ...base, ...change }); // JSON is YAML

test("parseKubeconfig: the current context, its cluster and user", () => {
  const ca = btoa("PEM");
  const clusters = [
    {
      name: "c",
      cluster: { server: "https://h:1", "certificate-authority-data": ca, "certificate-authority": "f", "tls-server-name": "api" },
    },
  ];
  const users = [{ name: "u", user: { tokenFile: "tok", token: "t", "client-certificate": "crt", "client-key-data": ca } }];
  expect(parseKubeconfig(text({ clusters, users }))).toEqual({
    ok: true,
    value: {
      context: "x",
      namespace: "ns",
      server: "https://h:1",
      insecureSkipTlsVerify: false,
      ca: { data: "PEM" },
      tlsServerName: "api",
      clientCertificate: { file: "crt" },
      clientKey: { data: "PEM" },
      token: { file: "tok" },
    },
  });
});

test("parseKubeconfig: a named context, without user and namespace", () => {
  const contexts = [...base.contexts, { name: "y", context: { cluster: "c" } }];
  expect(parseKubeconfig(text({ contexts }), "y")).toMatchObject({ ok: true, value: { context: "y", namespace: "default" } });
});

test.for([
  { name: "not YAML", source: "a: [", want: /it is not YAML/ },
  {
    name: "a server that is no URL",
    source: text({ clusters: [{ name: "c", cluster: { server: "10.0.0.1" } }] }),
    want: /clusters\.0\.cluster\.server/,
  },
  { name: "no such context", source: text({ "current-context": "z" }), want: /context "z" is not in it, it has: x/ },
  { name: "a context whose cluster is missing", source: text({ clusters: [] }), want: /contexts\[x\]\.cluster: cluster "c"/ },
  { name: "a context whose user is missing", source: text({ users: [] }), want: /contexts\[x\]\.user: user "u"/ },
  {
    name: "an exec plugin",
    source: text({ users: [{ name: "u", user: { exec: { command: "aws" } } }] }),
    want: /exec is not supported; use a token/,
  },
  {
    name: "a proxy",
    source: text({ clusters: [{ name: "c", cluster: { server: "https://h:1", "proxy-url": "http://p" } }] }),
    want: /proxy-url/,
  },
])("parseKubeconfig: refuses $name", ({ source, want }) => {
  const parsed = parseKubeconfig(source);
  expect(parsed.ok ? "accepted" : parsed.error).toMatch(want);
});
