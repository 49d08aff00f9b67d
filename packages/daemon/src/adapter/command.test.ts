import { expect, test, vi } from "vitest";
import { type DaemonOptions, daemonCommand, etcdWasGiven, numberOption } from "./command.ts";

function parse(...argv: string[]): DaemonOptions {
  return daemonCommand("felix", "test", { healthPort: 9099 })
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .parse(argv, { from: "user" })
    .opts<DaemonOptions>();
}

test("daemonCommand: lists are split, the port is a number, defaults hold", () => {
  const o = parse("--node", "n1", "--nats", "nats://a:4222, nats://b:4222");
  expect(o).toMatchObject({ node: "n1", nats: ["nats://a:4222", "nats://b:4222"], healthPort: 9099, runDir: "/var/run/calico" });
});

test.for([
  { name: "not a URL", argv: ["--etcd", "10.0.0.1"], want: /is not a URL/ },
  { name: "a port out of range", argv: ["--health-port", "70000"], want: /expected a whole number from -1 to 65535/ },
  { name: "an unknown level", argv: ["--log-level", "loud"], want: /Allowed choices/ },
])("daemonCommand: refuses $name", ({ argv, want }) => {
  expect(() => parse(...argv)).toThrow(want);
});

test("daemonCommand: a URL with a password is refused and not repeated", () => {
  expect(() => parse("--nats", "nats://u:geheim@a:4222")).toThrow(/must not hold a password/);
  let said = "";
  const program = daemonCommand("felix", "test", { healthPort: 9099 })
    .exitOverride()
    .configureOutput({ writeErr: (text) => (said += text) });
  expect(() => program.parse(["--etcd", "http://u:geheim@a:2379"], { from: "user" })).toThrow();
  expect(said).not.toMatch(/geheim/);
});

test("daemonCommand: access files by flag and by environment", () => {
  vi.stubEnv("ETCD_CA_CERT_FILE", "/ca.pem");
  const o = parse("--etcd-cert", "/c.pem", "--nats-user", "node1", "--nats-password-file", "/p");
  vi.unstubAllEnvs();
  expect(o).toMatchObject({ etcdCa: "/ca.pem", etcdCert: "/c.pem", natsUser: "node1", natsPasswordFile: "/p" });
});

test("daemonCommand: only who asks the Kubernetes API has --kubeconfig", () => {
  expect(daemonCommand("felix", "test", { healthPort: 1 }).helpInformation()).not.toMatch(/kubeconfig/);
  expect(daemonCommand("cni", "test", { healthPort: 1, kubeconfig: true }).helpInformation()).toMatch(/--kubeconfig <file>.*KUBECONFIG/s);
});

test("numberOption: by flag, by environment, and refused", () => {
  const parseCount = (...argv: string[]) =>
    daemonCommand("syncer", "test", { healthPort: 1 })
      .addOption(numberOption("--replicas <n>", "test", { env: "TEST_REPLICAS", default: 1, least: 1, most: 5 }))
      .exitOverride()
      .configureOutput({ writeErr: () => {} })
      .parse(argv, { from: "user" })
      .opts<{ replicas: number }>().replicas;
  expect(parseCount()).toBe(1);
  expect(parseCount("--replicas", "3")).toBe(3);
  vi.stubEnv("TEST_REPLICAS", "5");
  expect(parseCount()).toBe(5);
  vi.unstubAllEnvs();
  for (const bad of ["x", "", "0", "6", "1.5"]) expect(() => parseCount("--replicas", bad)).toThrow(/expected a whole number from 1 to 5/);
});

test.for([
  { name: "not", argv: [], want: false },
  { name: "by flag", argv: ["--etcd", "http://10.0.0.1:2379"], want: true },
  { name: "by flag, the same as the default", argv: ["--etcd", "http://127.0.0.1:2379"], want: true },
])("etcdWasGiven: $name", ({ argv, want }) => {
  expect(etcdWasGiven(parse(...argv))).toBe(want);
});
